//! The registry of metrics: which there are, with name, help, unit and labels, and where each is found in the JSON of
//! `/api/status`. `prometheus` and `json` render what it holds.
//!
//! Its lock is taken when metrics are registered, removed or rendered, and never by a thread that counts: those hold
//! handles. A metric that was removed may still be counted; it is only shown no more.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::observe::metrics::{Counter, Gauge, Level};

/// All metrics of the process, or of one server in a test. A clone is another handle on the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Family>>>);

/// Everything about a metric but its value and its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name without prefix, unit and `_total`, which the renderings add: `rtc_datagrams_received`.
    pub name: &'static str,
    /// What it counts or measures: one sentence.
    pub help: &'static str,
    /// The unit of its value.
    pub unit: Unit,
    /// Where it is in the JSON: a section and a path in it, as in `station.drops.packets`. `{channel}` stands for the value
    /// of the label `channel`. Empty if it is not in the JSON.
    pub json: &'static str,
}

/// The unit of a metric's value. It is shown in base units: seconds, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Samples at 48 kHz, shown as seconds.
    Samples,
    /// Bytes.
    Bytes,
    /// dB relative to full scale.
    Dbfs,
}

/// Labels by name.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// All metrics of one name.
pub(super) struct Family {
    pub description: Description,
    pub kind: Kind,
    pub series: Vec<Series>,
}

/// How a metric behaves over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// One metric.
pub(super) struct Series {
    pub labels: Vec<(&'static str, String)>,
    value: Value,
}

enum Value {
    Counter(Counter),
    Gauge(Gauge),
    Level(Level),
    Function(Box<dyn Fn() -> f64 + Send + Sync>),
}

/// A value in the unit that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    Whole(u64),
    Real(f64),
}

impl Registry {
    /// Registers a counter. Under the same name and labels the same counter is returned.
    pub fn counter(&self, description: Description, labels: Labels<'_>) -> Counter {
        let registered = self.register(description, Kind::Counter, labels, || Value::Counter(Counter::default()));
        match registered {
            Registered::Counter(counter) => counter,
            _ => unreachable!("a family has one type of value"),
        }
    }

    /// Registers a gauge. Under the same name and labels the same gauge is returned.
    pub fn gauge(&self, description: Description, labels: Labels<'_>) -> Gauge {
        let registered = self.register(description, Kind::Gauge, labels, || Value::Gauge(Gauge::default()));
        match registered {
            Registered::Gauge(gauge) => gauge,
            _ => unreachable!("a family has one type of value"),
        }
    }

    /// Registers a level. Under the same name and labels the same level is returned.
    pub fn level(&self, description: Description, labels: Labels<'_>) -> Level {
        let registered = self.register(description, Kind::Gauge, labels, || Value::Level(Level::default()));
        match registered {
            Registered::Level(level) => level,
            _ => unreachable!("a family has one type of value"),
        }
    }

    /// Registers a gauge whose value is computed when it is rendered; `read` must not wait. Under the same
    /// name and labels the first function stays.
    pub fn function(
        &self,
        description: Description,
        labels: Labels<'_>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(description, Kind::Gauge, labels, || Value::Function(Box::new(read)));
    }

    /// Registers a counter that exists already, because what it counts began before there was a registry.
    pub fn adopt(&self, description: Description, labels: Labels<'_>, counter: Counter) {
        self.register(description, Kind::Counter, labels, || Value::Counter(counter));
    }

    /// Removes every metric that has this label: those of a station that is removed.
    pub fn remove(&self, name: &str, value: &str) {
        let mut families = self.families();
        for family in families.iter_mut() {
            family.series.retain(|series| series.label(name) != Some(value));
        }
        families.retain(|family| !family.series.is_empty());
    }

    fn register(
        &self,
        description: Description,
        kind: Kind,
        labels: Labels<'_>,
        new: impl FnOnce() -> Value,
    ) -> Registered {
        let mut families = self.families();
        let found = families.iter().position(|family| family.description.name == description.name);
        let family = match found {
            Some(n) => &mut families[n],
            None => {
                families.push(Family { description, kind, series: vec![] });
                families.last_mut().expect("pushed just now")
            }
        };
        assert!(family.description == description && family.kind == kind, "{} has two descriptions", description.name);
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let series = match family.series.iter().position(|series| series.labels == labels) {
            Some(n) => &family.series[n],
            None => {
                family.series.push(Series { labels, value: new() });
                family.series.last().expect("pushed just now")
            }
        };
        match &series.value {
            Value::Counter(counter) => Registered::Counter(counter.clone()),
            Value::Gauge(gauge) => Registered::Gauge(gauge.clone()),
            Value::Level(level) => Registered::Level(level.clone()),
            Value::Function(_) => Registered::Function,
        }
    }

    /// The families in the order of their registration.
    pub(super) fn families(&self) -> MutexGuard<'_, Vec<Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on what was registered.
enum Registered {
    Counter(Counter),
    Gauge(Gauge),
    Level(Level),
    Function,
}

impl Series {
    /// The value at present, in the unit that is shown.
    pub fn read(&self, unit: Unit) -> Reading {
        let count = match &self.value {
            Value::Counter(counter) => counter.read(),
            Value::Gauge(gauge) => gauge.read(),
            Value::Level(level) => return Reading::Real(f64::from(level.read_dbfs())),
            Value::Function(read) => return Reading::Real(read()),
        };
        match unit {
            Unit::Samples => Reading::Real(count as f64 / 48_000.0),
            Unit::Count | Unit::Seconds | Unit::Bytes | Unit::Dbfs => Reading::Whole(count),
        }
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.families().iter().map(|family| family.description.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTION: Description = Description { name: "packets", help: "Packets.", unit: Unit::Count, json: "" };

    #[test]
    fn the_same_name_and_labels_are_the_same_metric() {
        let registry = Registry::default();
        let (one, two) = ([("station", "one")], [("station", "two")]);
        registry.counter(DESCRIPTION, &one).add(1);
        registry.counter(DESCRIPTION, &one).add(2);
        assert_eq!(registry.counter(DESCRIPTION, &one).read(), 3);
        assert_eq!(registry.counter(DESCRIPTION, &two).read(), 0);
    }

    #[test]
    fn a_removed_stations_metrics_are_gone_and_start_anew_when_it_returns() {
        let registry = Registry::default();
        let (one, two) = ([("station", "one")], [("station", "two")]);
        let removed = registry.counter(DESCRIPTION, &one);
        registry.counter(DESCRIPTION, &two).add(5);
        removed.add(7);
        registry.remove("station", "one");
        // A thread that still holds the handle goes on counting, unseen.
        removed.add(1);
        assert_eq!(registry.families().iter().map(|family| family.series.len()).sum::<usize>(), 1);
        assert_eq!(registry.counter(DESCRIPTION, &one).read(), 0);
        assert_eq!(registry.counter(DESCRIPTION, &two).read(), 5);
        registry.remove("station", "one");
        registry.remove("station", "two");
        assert!(registry.families().is_empty());
    }

    #[test]
    #[should_panic(expected = "two descriptions")]
    fn two_metrics_of_one_name_are_a_bug() {
        let registry = Registry::default();
        registry.counter(DESCRIPTION, &[]);
        registry.gauge(DESCRIPTION, &[]);
    }
}
