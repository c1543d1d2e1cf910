//! The stations of this host, by name. They come and go while the program runs.

use std::sync::{Arc, PoisonError, RwLock};

use crate::ids::names::StationName;
use crate::station::station::Station;

/// All stations, in the order in which they were added. A clone is the same directory.
///
/// Locked for a moment only: readers take a reference to the list with them. (A list behind `arc_swap` would make each new
/// thread of a connection search a list of all threads.)
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<RwLock<Arc<Vec<Station>>>>);

impl Directory {
    /// Adds a station. False if there is one of that name.
    pub fn insert(&self, station: Station) -> bool {
        let mut stations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = stations.iter().all(|other| other.name != station.name);
        if is_new {
            Arc::make_mut(&mut stations).push(station);
        }
        is_new
    }

    /// Removes a station; None if there is none of that name.
    pub fn remove(&self, name: &StationName) -> Option<Station> {
        let mut stations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let at = stations.iter().position(|station| station.name == *name)?;
        Some(Arc::make_mut(&mut stations).remove(at))
    }

    /// The station of that name.
    pub fn find(&self, name: &StationName) -> Option<Station> {
        self.all().iter().find(|station| station.name == *name).cloned()
    }

    /// The first station, which requests mean that name none.
    pub fn default_station(&self) -> Option<Station> {
        self.all().first().cloned()
    }

    /// All of them.
    pub fn all(&self) -> Arc<Vec<Station>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::audio::encoder::Encoding;
    use crate::media::track::TrackId;
    use crate::station::metrics::StationMetrics;
    use crate::station::timeline::{self, Capacity};

    fn station(name: &str, track: u64) -> Station {
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 96_000);
        let (_, timeline) = timeline::new(capacity, Instant::now());
        Station::new(
            StationName::parse(name).unwrap(),
            TrackId::new(track),
            Encoding::default(),
            timeline,
            StationMetrics::default(),
        )
    }

    #[test]
    fn stations_come_and_go_and_the_first_is_the_default() {
        let directory = Directory::default();
        assert!(directory.default_station().is_none());
        assert!(directory.insert(station("main", 1)) && directory.insert(station("bar", 2)));
        assert!(!directory.insert(station("bar", 3)), "the name is taken");
        let name = |name: &str| StationName::parse(name).unwrap();
        assert_eq!(directory.find(&name("bar")).unwrap().track, TrackId::new(2));
        assert_eq!(directory.default_station().unwrap().name, name("main"));
        let before = directory.all();
        assert_eq!(directory.remove(&name("main")).unwrap().track, TrackId::new(1));
        assert!(directory.remove(&name("main")).is_none());
        assert_eq!(directory.default_station().unwrap().name, name("bar"));
        assert_eq!(before.len(), 2, "a reader keeps what it has read");
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let directory = Directory::default();
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let directory = directory.clone();
                scope.spawn(move || {
                    (0..50).for_each(|n| assert!(directory.insert(station(&format!("s{worker}-{n}"), n))))
                });
            }
        });
        assert_eq!(directory.all().len(), 200);
    }
}
