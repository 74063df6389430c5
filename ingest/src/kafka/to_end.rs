//! `until_end`: the ends that the partitions have at the start, and whether they are reached.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::ask;
use super::context::{Place, name};
use super::part::End;
use super::work::Work;
use crate::error::{ErrorKind, SourceError};

/// Between attempts to ask a broker that does not answer.
const PAUSE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Work {
    pub fn begin_until_end(&mut self) -> Result<(), SourceError> {
        let mut ends = Vec::new();
        for topic in self.options.topics.clone() {
            let Some(found) = self.ends(&topic)? else { return Ok(()) };
            ends.extend(found);
        }
        let places: Vec<Place> = ends.iter().map(|(place, _)| place.clone()).collect();
        let list = self.take_up(&places)?;
        self.consumer.assign(&list).map_err(|e| self.refused(e))?;
        for ((topic, number), end) in ends {
            if let Some(part) = self.part(&topic, number) {
                part.end = Some(end);
            }
        }
        Ok(())
    }

    /// The partitions of a topic and where they end now, asked until the broker answers; `None` when
    /// the source is stopped meanwhile. A broker that lets this client not in is an error: whoever
    /// waits for the end must know.
    fn ends(&self, topic: &str) -> Result<Option<Vec<(Place, End)>>, SourceError> {
        loop {
            match ask::ends(&self.consumer, topic) {
                Ok(ends) => return Ok(Some(ends)),
                Err(error) => {
                    self.meter.stands(Some("the broker does not answer"));
                    self.meter.error();
                    tracing::warn!(%error, topic, "the broker does not answer; trying again");
                }
            }
            let mut left = PAUSE;
            while !left.is_zero() {
                if self.shutdown.is_requested() {
                    return Ok(None);
                }
                // What the client has to say comes with polling.
                let step = Duration::from_millis(100);
                drop(self.consumer.poll(step));
                left = left.saturating_sub(step);
                if let Some(reason) = self.consumer.context().refused.lock().take() {
                    return Err(SourceError::new(&self.name, ErrorKind::Refused, reason));
                }
            }
        }
    }

    /// Whether everything is read that was there at the start. What is, is not read further.
    pub fn is_at_end(&mut self) -> bool {
        if !self.options.until_end || self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        let mut all = true;
        for place in self.open_places() {
            let seen = self.consumer.context().ends.lock().get(&place).copied();
            let (waited, now) = (self.waited, self.looked);
            let Some(part) = self.part(&place.0, place.1) else { continue };
            if part.is_at_end(waited, seen) {
                part.done = true;
                self.pause(&place);
                continue;
            }
            all = false;
            if part.is_to_ask_again(now) {
                self.ask_again(&place);
            }
        }
        all
    }

    fn open_places(&self) -> Vec<Place> {
        let open = self.parts.iter().flat_map(|(topic, parts)| {
            let open = parts.iter().filter(|(_, part)| !part.done);
            open.map(|(number, _)| (topic.clone(), *number))
        });
        open.collect()
    }

    /// Past an end that is not sure: when the broker tells a later one by now, then the end at the
    /// start lies before that.
    fn ask_again(&mut self, place: &Place) {
        let asked = self.consumer.fetch_watermarks(&place.0, place.1, Duration::from_secs(1));
        let Ok((_, high)) = asked else { return };
        let Some(part) = self.part(&place.0, place.1) else { return };
        if let (Some(end), Ok(at)) = (&mut part.end, u64::try_from(high))
            && at > end.at
        {
            tracing::debug!(partition = name(place), at, "more was written meanwhile");
            *end = End { at, is_sure: true };
        }
    }
}
