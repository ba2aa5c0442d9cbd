//! New names, tags and digests of images.

use regex::Regex;
use serde_json::Value;

use super::fieldpath::{self, Make};
use super::fields::FieldSpec;
use super::set::Set;
use super::spec::Image;

/// Bytes of a name with all that is set; registries allow about 700.
const BYTES_MAX: usize = 4096;

/// Sets an image wherever containers are, whatever the kind, and at the fields given.
pub(crate) fn set(set: &mut Set, image: &Image, specs: &[FieldSpec]) -> Result<(), String> {
    let parts = [&image.name, &image.new_name, &image.new_tag, &image.tag_suffix, &image.digest];
    if parts.iter().map(|part| part.len()).sum::<usize>() > BYTES_MAX {
        return Err(format!("it is longer than {BYTES_MAX} bytes"));
    }
    let pattern = Pattern::of(&image.name)?;
    for resource in set.resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        containers(&mut resource.object, &mut |value| update(value, image, &pattern));
        for spec in specs {
            let mut change = |value: &mut Value| {
                if value.is_object() || value.is_array() {
                    return Err("it is no plain value".to_owned());
                }
                update(value, image, &pattern);
                Ok(())
            };
            let outcome = fieldpath::apply(&mut resource.object, spec, Make::Nothing, &mut change);
            outcome.map_err(|what| format!("{}: {what}", resource.id()))?;
        }
    }
    Ok(())
}

/// Visits the image of each element of fields called `containers` or `initContainers`.
fn containers(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                containers(value, visit);
                if matches!(name.as_str(), "containers" | "initContainers") {
                    let elements = value.as_array_mut().into_iter().flatten();
                    elements.filter_map(|element| element.get_mut("image")).for_each(&mut *visit);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| containers(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Which images have a name. The name is a regular expression, as upstream: most are names and nothing else, and to compile a
/// pattern takes longer than all the rest of a rendering.
#[derive(Debug)]
enum Pattern {
    /// In which a dot stands for any character.
    Name(String),
    Other(Regex),
}

impl Pattern {
    fn of(name: &str) -> Result<Self, String> {
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.:@".contains(&byte)) {
            return Ok(Self::Name(name.to_owned()));
        }
        let pattern = format!(r"^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$");
        Regex::new(&pattern).map(Self::Other).map_err(|_| format!("name: {name:?} is not a name of an image"))
    }

    fn takes(&self, image: &str) -> bool {
        let name = match self {
            Self::Name(name) => name,
            Self::Other(pattern) => return pattern.is_match(image),
        };
        let mut rest = image.chars();
        if !name.chars().all(|wanted| rest.next().is_some_and(|found| found == wanted || (wanted == '.' && found != '\n'))) {
            return false;
        }
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.{}-".contains(&byte));
        let rest = rest.as_str();
        let (tag, digest) = rest.split_once('@').map_or((rest, None), |(tag, digest)| (tag, Some(digest)));
        (tag.is_empty() || tag.strip_prefix(':').is_some_and(is_word))
            && digest.is_none_or(|digest| digest.strip_prefix("sha256:").is_some_and(is_word))
    }
}

fn update(value: &mut Value, image: &Image, pattern: &Pattern) {
    let Some(found) = value.as_str().filter(|text| pattern.takes(text)) else { return };
    let (name, mut tag, mut digest) = split(found);
    let name = if image.new_name.is_empty() { name } else { &image.new_name };
    let suffixed = format!("{tag}{}", image.tag_suffix);
    if !image.new_tag.is_empty() {
        (tag, digest) = (&image.new_tag, &image.digest);
    } else if !image.digest.is_empty() {
        (tag, digest) = ("", &image.digest);
    } else if !image.tag_suffix.is_empty() {
        (tag, digest) = (&suffixed, "");
    }
    let mut text = name.to_owned();
    for (mark, part) in [(':', tag), ('@', digest)] {
        if !part.is_empty() {
            text.push(mark);
            text.push_str(part);
        }
    }
    *value = Value::String(text);
}

/// Splits an image into name, tag and digest; a colon before the first slash is a port's.
fn split(image: &str) -> (&str, &str, &str) {
    let begin = image.find('/').unwrap_or(0);
    let (plain, digest) = match image[begin..].find('@') {
        Some(at) => (&image[..begin + at], &image[begin + at + 1..]),
        None => (image, ""),
    };
    match plain[begin..].find(':') {
        Some(at) => (&plain[..begin + at], &plain[begin + at + 1..], digest),
        None => (plain, "", digest),
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_plain_name_takes_what_the_pattern_made_of_it_takes() {
        let names = ["nginx", "a.example/b", "host:5000/a/b", "", "a@b", "ngin.", "é"];
        let suffixes = [
            "",
            ":1",
            ":",
            ":1.2_x-{y}",
            ":1/2",
            "@sha256:00",
            ":1@sha256:",
            "@sha256:0/",
            "@md5:00",
            ":1@",
            "x",
            "\n",
            "@sha256:0@sha256:0",
        ];
        for name in names {
            let plain = Pattern::of(name).expect("a name");
            let compiled = Pattern::of(&format!("(?:{name})")).expect("a pattern");
            assert_eq!(matches!(plain, Pattern::Name(_)), name != "é");
            assert!(matches!(compiled, Pattern::Other(_)));
            for image in names.iter().chain(&["aXexample/b", "nginé", "ngin\n", "nginxx", "host"]) {
                for suffix in suffixes {
                    let image = format!("{image}{suffix}");
                    assert_eq!(plain.takes(&image), compiled.takes(&image), "{name:?} and {image:?}");
                }
            }
        }
        assert!(Pattern::of("a.example/b").expect("a name").takes("aXexample/b:1"), "a dot is any character, as upstream");
        assert!(Pattern::of("(").is_err());
    }

    #[test]
    fn an_image_is_a_name_a_tag_and_a_digest() {
        assert_eq!(super::split("nginx"), ("nginx", "", ""));
        assert_eq!(super::split("host:5000/a/b:1@sha256:00"), ("host:5000/a/b", "1", "sha256:00"));
        assert_eq!(super::split("a/b@sha256:00"), ("a/b", "", "sha256:00"));
        assert_eq!(super::split("a:1"), ("a", "1", ""));
    }
}
