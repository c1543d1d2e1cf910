//! Renders the registry as JSON: the sections of numbers in `/api/status`. Runs on the thread that answers.
//!
//! A metric's description says where in the JSON it is; members stand in the order of their registration.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::observe::registry::{Labels, Reading, Registry, Series, Unit};

/// An object of numbers, or one of its members.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// A count.
    Whole(u64),
    /// Another number; `null` unless it is finite.
    Real(f64),
    /// Members in order.
    Object(Vec<(String, Json)>),
}

/// One section, of the metrics that have these labels: `render(registry, "station", &[("station", "main")])`.
pub fn render(registry: &Registry, section: &str, labels: Labels<'_>) -> Json {
    let mut object = Json::Object(vec![]);
    for family in registry.families().iter() {
        let Some((_, path)) = family.description.json.split_once('.').filter(|(first, _)| *first == section) else {
            continue;
        };
        for series in &family.series {
            if labels.iter().all(|(name, value)| series.label(name) == Some(value)) {
                let value = match series.read(family.description.unit) {
                    Reading::Whole(count) => Json::Whole(count),
                    // Nobody hears less than a tenth of a dB.
                    Reading::Real(value) if family.description.unit == Unit::Dbfs => {
                        Json::Real((value * 10.0).round() / 10.0)
                    }
                    Reading::Real(value) => Json::Real(value),
                };
                object.insert(&filled(path, series), value);
            }
        }
    }
    object
}

/// The path with the values of labels in it.
fn filled(path: &str, series: &Series) -> String {
    let fill = |path: String, (name, value): &(&str, String)| path.replace(&format!("{{{name}}}"), value);
    series.labels.iter().fold(path.to_owned(), fill)
}

impl Json {
    /// Takes a member out of an object.
    pub fn take(&mut self, name: &str) -> Option<Json> {
        let Json::Object(members) = self else { return None };
        let n = members.iter().position(|(member, _)| member == name)?;
        Some(members.remove(n).1)
    }

    fn insert(&mut self, path: &str, value: Json) {
        let Json::Object(members) = self else { return };
        match path.split_once('.') {
            None => members.push((path.to_owned(), value)),
            Some((first, rest)) => {
                if !members.iter().any(|(name, _)| name == first) {
                    members.push((first.to_owned(), Json::Object(vec![])));
                }
                let member = members.iter_mut().find(|(name, _)| name == first);
                member.expect("it is there now").1.insert(rest, value);
            }
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Whole(count) => serializer.serialize_u64(*count),
            // JSON has no −∞, which is the level of silence.
            Json::Real(value) if !value.is_finite() => serializer.serialize_none(),
            Json::Real(value) => serializer.serialize_f64(*value),
            Json::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::registry::Description;

    const fn description(name: &'static str, unit: Unit, json: &'static str) -> Description {
        Description { name, help: "For a test.", unit, json }
    }

    #[test]
    fn a_section_has_the_numbers_of_its_labels_in_order() {
        let registry = Registry::default();
        for station in ["main", "other"] {
            let labels: Labels<'_> = &[("station", station)];
            let level = description("level", Unit::Dbfs, "station.level.{channel}_dbfs");
            let left = registry.level(level, &[("station", station), ("channel", "left")]);
            registry.level(level, &[("station", station), ("channel", "right")]);
            left.set_dbfs(-20.04);
            registry.counter(description("packets", Unit::Count, "station.packets"), labels).add(5);
            registry.counter(description("blocks", Unit::Count, "station.drops.blocks"), labels);
            registry.counter(description("lost", Unit::Count, "station.drops.packets"), labels).add(2);
            registry.counter(description("silence", Unit::Samples, "station.silence_s"), labels).add(24_000);
            registry.counter(description("late", Unit::Samples, ""), labels);
        }
        registry.gauge(description("sessions", Unit::Count, "rtc.sessions"), &[]);
        let text = |json: &Json| serde_json::to_string(json).unwrap();
        let mut main = render(&registry, "station", &[("station", "main")]);
        let expected = r#"{"level":{"left_dbfs":-20.0,"right_dbfs":null},"packets":5,"drops":{"blocks":0,"packets":2},"silence_s":0.5}"#;
        assert_eq!(text(&main), expected);
        assert_eq!(text(&render(&registry, "rtc", &[])), r#"{"sessions":0}"#);
        assert_eq!(text(&render(&registry, "station", &[("station", "third")])), "{}");
        assert!(main.take("level").is_some() && main.take("level").is_none());
        assert_eq!(text(&main), r#"{"packets":5,"drops":{"blocks":0,"packets":2},"silence_s":0.5}"#);
    }
}
