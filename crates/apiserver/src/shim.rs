//! Stand-ins until the words crates have them; removed when they do.
pub mod apply {
    use apimachinery::schema::Schema;
    use apimachinery::status::Cause;
    use serde_json::Value;
    pub struct Writer { pub manager: String, pub api_version: String, pub subresource: String, pub time: String }
    #[derive(Debug, thiserror::Error)]
    pub enum Error { #[error("{message}")] Conflicts { message: String, causes: Vec<Cause> }, #[error("{0}")] Other(String) }
    pub fn update(_s: &Schema, _old: Option<&Value>, _o: &mut Value, _w: &Writer) {}
    pub fn apply(_s: &Schema, live: Option<&Value>, config: &Value, _w: &Writer, _force: bool) -> Result<Value, Error> {
        Ok(match live { Some(l) => apimachinery::patch::merge(l.clone(), config), None => config.clone() })
    }
}
pub mod builtin {
    use apimachinery::gvk::GroupVersionKind;
    use apimachinery::status::Cause;
    use serde_json::Value;
    pub fn default(_g: &GroupVersionKind, _o: &mut Value) {}
    pub fn validate(_g: &GroupVersionKind, _o: &Value, _old: Option<&Value>) -> Vec<Cause> { Vec::new() }
    pub fn convert(mut o: Value, v: &str) -> Value { o["apiVersion"] = v.into(); o }
    pub fn decode(_b: &[u8]) -> Result<Value, String> { Err("not yet".into()) }
}
pub mod yaml {
    use serde_json::Value;
    pub fn read(t: &str) -> Result<Value, String> { serde_saphyr::from_str(t).map_err(|e| e.to_string()) }
    pub fn write(v: &Value) -> String { serde_saphyr::to_string(v).unwrap_or_default() }
}
pub mod selector {
    use serde_json::Value;
    use std::collections::BTreeMap;
    #[derive(Clone, Debug, Default)]
    pub struct LabelSelector(Vec<(String, Option<String>)>);
    impl LabelSelector {
        pub fn parse(t: &str) -> Result<Self, String> { Ok(Self(t.split(',').map(|p| match p.split_once('=') { Some((k, v)) => (k.trim_end_matches('=').into(), Some(v.trim_start_matches('=').into())), None => (p.into(), None) }).collect())) }
        pub fn from_object(o: &Value) -> Result<Self, String> { Ok(Self(o["matchLabels"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().map(str::to_owned))).collect())) }
        pub fn is_empty(&self) -> bool { self.0.is_empty() }
        pub fn exact(&self) -> Option<(&str, &str)> { self.0.iter().find_map(|(k, v)| v.as_deref().map(|v| (k.as_str(), v))) }
        pub fn matches(&self, l: &BTreeMap<String, String>) -> bool { self.0.iter().all(|(k, v)| match v { Some(v) => l.get(k) == Some(v), None => l.contains_key(k) }) }
        pub fn matches_value(&self, l: &Value) -> bool { self.0.iter().all(|(k, v)| match v { Some(v) => l[k] == v.as_str(), None => l.get(k).is_some() }) }
    }
    impl std::fmt::Display for LabelSelector {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0.iter().map(|(k, v)| format!("{k}={}", v.clone().unwrap_or_default())).collect::<Vec<_>>().join(",")) }
    }
    #[derive(Clone, Debug, Default)]
    pub struct FieldSelector(Vec<(String, bool, String)>);
    impl FieldSelector {
        pub fn parse(t: &str) -> Result<Self, String> { Ok(Self(t.split(',').filter_map(|p| p.split_once('=').map(|(k, v)| (k.trim_end_matches(['!', '=']).to_owned(), !k.ends_with('!'), v.trim_start_matches('=').to_owned()))).collect())) }
        pub fn is_empty(&self) -> bool { self.0.is_empty() }
        pub fn paths(&self) -> impl Iterator<Item = &str> { self.0.iter().map(|r| r.0.as_str()) }
        pub fn take_exact(&mut self, path: &str) -> Option<String> { let i = self.0.iter().position(|r| r.0 == path && r.1)?; Some(self.0.remove(i).2) }
        pub fn matches(&self, get: impl Fn(&str) -> String) -> bool { self.0.iter().all(|(k, eq, v)| (get(k) == *v) == *eq) }
    }
}
