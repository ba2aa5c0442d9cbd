//! Stand-ins until the words crates have them; removed when they do.
pub mod yaml {
    use serde_json::Value;
    pub fn read(t: &str) -> Result<Value, String> { serde_saphyr::from_str(t).map_err(|e| e.to_string()) }
    pub fn write(v: &Value) -> String { serde_saphyr::to_string(v).unwrap_or_default() }
}
