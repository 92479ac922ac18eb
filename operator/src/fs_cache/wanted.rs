//! What an FsCache asks for, in the form that the rest works with. Everything that the schema already refuses is
//! checked again: an object can be older than its rules.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use workspacefs_api::{FsCacheSpec, duration};

/// When things are due.
#[derive(Clone, Debug)]
pub struct Wanted {
    refresh: When,
    /// Older copies are not shown to new pods.
    pub max_age: Option<SignedDuration>,
    /// Between two comparisons with the digests.
    pub scrub: Option<SignedDuration>,
}

#[derive(Clone, Debug)]
enum When {
    /// Only when somebody asks.
    Asked,
    /// So long after the last one ended.
    After(SignedDuration),
    /// At these times, in UTC.
    At(Box<Cron>),
}

impl Wanted {
    /// Reads an FsCache.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(spec: &FsCacheSpec) -> Result<Self, String> {
        let refresh = match (&spec.refresh.interval, &spec.refresh.schedule) {
            (None, None) => When::Asked,
            (Some(interval), None) => When::After(parse("refresh.interval", interval)?),
            (None, Some(schedule)) => When::At(Box::new(cron(schedule)?)),
            (Some(_), Some(_)) => return Err("refresh takes at most one of: interval, schedule".into()),
        };
        let optional =
            |field, text: &Option<String>| text.as_deref().map(|text| parse(field, text)).transpose();
        Ok(Self {
            refresh,
            max_age: optional("maxAge", &spec.max_age)?,
            scrub: optional("scrub", &spec.scrub)?,
        })
    }

    /// When the next refresh is due, after one that read the source from `as_of` on and ended at `ended`. None: when
    /// somebody asks.
    pub fn refresh_due(&self, as_of: Timestamp, ended: Timestamp) -> Option<Timestamp> {
        match &self.refresh {
            When::Asked => None,
            When::After(interval) => ended.checked_add(*interval).ok(),
            When::At(cron) => {
                let next = cron.find_next_occurrence(&as_of.to_zoned(TimeZone::UTC), false);
                next.ok().map(|next| next.timestamp())
            }
        }
    }
}

fn parse(field: &str, text: &str) -> Result<SignedDuration, String> {
    let seconds = duration::seconds(text).filter(|seconds| *seconds >= 60);
    let seconds =
        seconds.ok_or_else(|| format!("{field} {text:?} is not a duration of at least a minute"))?;
    Ok(SignedDuration::from_secs(seconds))
}

fn cron(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| format!("refresh.schedule {text:?}: {error}"))?;
    let ever = cron.find_next_occurrence(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), false);
    ever.map(|_| cron).map_err(|_| format!("refresh.schedule {text:?} names no time that there is"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wanted(more: Value) -> Result<Wanted, String> {
        let mut spec = json!({"source": {"fileSystem": "a", "paths": ["/x"]}, "target": {"fileSystem": "b"}});
        more.as_object().unwrap().iter().for_each(|(field, value)| spec[field] = value.clone());
        Wanted::of(&serde_json::from_value(spec).unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_interval_counts_from_the_end_and_a_schedule_from_the_begin_of_the_last() {
        let (began, ended) = (at("2026-03-01T02:00:05Z"), at("2026-03-01T05:00:00Z"));
        for (refresh, due) in [
            (json!({"interval": "1h"}), Some("2026-03-01T06:00:00Z")),
            (json!({"schedule": "0 2 * * *"}), Some("2026-03-02T02:00:00Z")),
            // A time that came while it ran: what changed before it may be missing.
            (json!({"schedule": "0 4 * * *"}), Some("2026-03-01T04:00:00Z")),
            (json!({"schedule": "*/15 * * * 1-5"}), Some("2026-03-02T00:00:00Z")),
            (json!({"schedule": "0 0 29 2 *"}), Some("2028-02-29T00:00:00Z")),
            (json!({}), None),
        ] {
            let wanted = wanted(json!({"refresh": refresh})).unwrap();
            assert_eq!(wanted.refresh_due(began, ended), due.map(at), "{refresh}");
        }
    }

    #[test]
    fn objects_older_than_their_rules_are_invalid_and_say_why() {
        for (more, word) in [
            (json!({"refresh": {"interval": "1h", "schedule": "0 2 * * *"}}), "at most one"),
            (json!({"refresh": {"interval": "30s"}}), "refresh.interval"),
            (json!({"refresh": {"schedule": "0 25 * * *"}}), "refresh.schedule"),
            (json!({"refresh": {"schedule": "0 0 30 2 *"}}), "refresh.schedule"),
            (json!({"refresh": {"schedule": "0 0 2 * * *"}}), "refresh.schedule"),
            (json!({"maxAge": "soon"}), "maxAge"),
            (json!({"scrub": "1d"}), "scrub"),
        ] {
            let refusal = wanted(more.clone()).expect_err(word);
            assert!(refusal.contains(word), "{more}: {refusal}");
        }
    }
}
