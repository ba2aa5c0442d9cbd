//! Whatever text comes in, nothing panics.

use apimachinery::jsonpath::{JsonPath, Missing};
use apimachinery::quantity::Quantity;
use apimachinery::schema::{compile_pattern, is_valid_format};
use apimachinery::selector::{FieldSelector, LabelSelector};
use apimachinery::{names, yaml};
use proptest::prelude::*;
use serde_json::json;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn texts_are_read_or_refused(text in "[ -~é\\u{85}\\n]{0,24}", path in "[{}.a\\[\\]*?@=\"'0-9,:\\\\$() ]{0,16}", selector in "[a-c=!,()<> in]{0,16}", number in "[-+0-9.eEimkKMGTPun]{0,48}") {
        for text in [&text, &path, &selector, &number] {
            if let Ok(path) = JsonPath::parse(text) {
                let _ = path.render(&json!({"a": [{"a": 1}, "0"]}), Missing::Refuse);
            }
            let _ = JsonPath::parse_path(text);
            if let Ok(selector) = LabelSelector::parse(text) {
                prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
            }
            if let Ok(selector) = FieldSelector::parse(text) {
                prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
            }
            if let Ok(quantity) = text.parse::<Quantity>() {
                let again: Quantity = quantity.to_string().parse().unwrap();
                prop_assert_eq!(again, quantity);
                prop_assert_eq!(again.to_string(), quantity.to_string());
            }
            let _ = (compile_pattern(text), names::qualified_name(text), names::dns1123_subdomain(text), names::label_value(text));
            let _ = yaml::from_str_many(text, yaml::DuplicateKeys::LastWins);
            for format in ["date-time", "date", "byte", "duration", "cidr", "uri", "uuid", "uuid4", "email", "hostname", "mac"] {
                let _ = is_valid_format(format, text);
            }
        }
    }
}
