//! Bucket keys: data keys held for a while, from which the keys of many entries are derived, so that the
//! KMS is called once for all of them.
//!
//! A bucket key is made by the KMS, wrapped under the encryption context of store and region, and stands in
//! a record beside the entries ([`record`]). Entries are sealed under it for 24 hours or 65,536 times,
//! whichever comes first; it opens them for as long as they are there. In plain it is in memory only: the
//! one under which entries are sealed for as long as that may be, others for five minutes after they were
//! opened.
//!
//! How many entries were sealed under it is counted by reservations: before a process seals, it writes into
//! the record that it may seal so many more, at first one, then each time as many as it has sealed, up to
//! 4,096. What a crash leaves unused is lost to that bucket key, and to nobody else.

mod held;
pub(crate) mod record;
#[cfg(test)]
mod tests;
mod wrapped_by;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kms::message::Header as WrappedHeader;
use kms::storage::{Expected, Storage, Version};
use kms::{DataKey, KeyId};
use parking_lot::Mutex;

use crate::error::Error;
use crate::wrapping::Wrapping;

use self::held::{Held, Opened};
pub(crate) use self::record::BucketId;
use self::record::{BucketRecord, CURRENT, Header};
pub(crate) use self::wrapped_by::WrappedBy;

/// The bucket keys of one store.
pub(crate) struct BucketKeys {
    storage: Arc<dyn Storage>,
    held: Held,
    /// The one under which entries are sealed; locked while it is chosen.
    current: Mutex<Option<Current>>,
}

/// A bucket key in plain, and which it is.
pub(crate) type Bucket = (BucketId, Arc<DataKey>);

/// The bucket key under which entries are sealed.
struct Current {
    record: BucketRecord,
    content: Version,
    key: Arc<DataKey>,
    /// How many entries this process has sealed under it.
    sealed: u32,
    /// How many more it has reserved.
    left: u32,
}

impl BucketKeys {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            held: Held::default(),
            current: Mutex::new(None),
        }
    }

    /// The bucket key to seal one entry under.
    ///
    /// # Errors
    /// What the KMS or the storage says.
    pub(crate) fn issue(&self, wrapping: &Wrapping) -> Result<Bucket, Error> {
        let kms_key = wrapping.key_id()?;
        let mut current = self.current.lock();
        let at_hand = match current.take() {
            Some(bucket) if bucket.may_seal(kms_key, wrapping.now()) => {
                self.go_on(wrapping, bucket)?
            }
            _ => None,
        };
        let mut bucket = match at_hand {
            Some(bucket) => {
                wrapping.calls.saved_one();
                bucket
            }
            None => self.next(wrapping, kms_key)?,
        };
        bucket.left -= 1;
        bucket.sealed += 1;
        let issued = (bucket.record.header.id, bucket.key.clone());
        *current = Some(bucket);
        Ok(issued)
    }

    /// The bucket key `id`, to open an entry with.
    ///
    /// # Errors
    /// [`Error::BucketKey`], with what is wrong with its record; or what the KMS says.
    pub(crate) fn open(&self, wrapping: &Wrapping, id: BucketId) -> Result<Arc<DataKey>, Error> {
        let place = self.held.place(id);
        let mut place = place.lock();
        if let Some(opened) = &*place
            && opened.may_be_held(wrapping.now())
        {
            wrapping.calls.saved_one();
            return Ok(opened.key.clone());
        }
        // Where it fails, nothing stays.
        *place = None;
        let (record, content) = self.read(wrapping, id).map_err(in_record(id))?;
        let key = Arc::new(unwrap(wrapping, &record).map_err(in_record(id))?);
        *place = Some(hold(key.clone(), content, wrapping.now(), HOLD));
        Ok(key)
    }

    /// Has the KMS wrap the key `id` anew, as `target` says, unless it is so; whether it had to.
    ///
    /// # Errors
    /// What is wrong with the record; or what the KMS or the storage says.
    pub(crate) fn rewrap(
        &self,
        wrapping: &Wrapping,
        id: BucketId,
        target: WrappedHeader,
    ) -> Result<bool, Error> {
        // Nobody reserves meanwhile, which is to write the record too.
        let mut current = self.current.lock();
        let (mut record, content) = self.read(wrapping, id)?;
        if record.wrapped_by()? == target {
            self.verify(wrapping, id)?;
            return Ok(false);
        }
        record.wrapped = wrapping.rewrap(&record.wrapped, &wrapping.context())?;
        // What replaces a record that opens must open.
        let key = Arc::new(unwrap(wrapping, &record)?);
        let content = self.put(&record, Expected::Version(content))?;
        *self.held.place(id).lock() = Some(hold(key, content, wrapping.now(), HOLD));
        if let Some(bucket) = current
            .as_mut()
            .filter(|bucket| bucket.record.header.id == id)
        {
            (bucket.record, bucket.content) = (record, content);
            self.hold_current(wrapping, bucket);
        }
        Ok(true)
    }

    /// Opens the record in `file` anew, whether or not its key is held.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn verify(&self, wrapping: &Wrapping, id: BucketId) -> Result<(), Error> {
        self.held.keep_only(id, None);
        match self.open(wrapping, id) {
            Ok(_) => Ok(()),
            Err(Error::BucketKey { reason, .. }) => Err(*reason),
            Err(other) => Err(other),
        }
    }

    /// Lets go of the key `id` where its record is no longer what it was.
    pub(crate) fn look_at(&self, id: BucketId) {
        let content = self.storage.get(&id.file()).ok().flatten();
        self.held
            .keep_only(id, content.map(|record| record.version));
    }

    /// Lets go of keys whose time is over. Waits for nobody: what is in use is not over.
    pub(crate) fn end(&self, now: SystemTime) {
        if let Some(mut current) = self.current.try_lock() {
            current.take_if(|bucket| !bucket.record.header.is_current(now));
        }
        self.held.end(now);
    }

    /// Lets go of every key.
    pub(crate) fn forget(&self) {
        *self.current.lock() = None;
        self.held.forget();
    }

    // === Choosing ===

    /// `bucket` with at least one entry left; none where that cannot be.
    fn go_on(&self, wrapping: &Wrapping, bucket: Current) -> Result<Option<Current>, Error> {
        if bucket.left > 0 {
            return Ok(Some(bucket));
        }
        self.reserve(wrapping, bucket)
    }

    /// A bucket key that another process, or this one before, has made and that is still current; or else a
    /// fresh one.
    fn next(&self, wrapping: &Wrapping, kms_key: KeyId) -> Result<Current, Error> {
        for (record, content) in self.candidates(wrapping, kms_key)? {
            // One that cannot be used harms nobody: there is another.
            if let Ok(Some(bucket)) = self.adopt(wrapping, record, content) {
                return Ok(bucket);
            }
        }
        self.create(wrapping)
    }

    /// Records under which entries may be sealed, the latest first.
    fn candidates(
        &self,
        wrapping: &Wrapping,
        kms_key: KeyId,
    ) -> Result<Vec<(BucketRecord, Version)>, Error> {
        let now = wrapping.now();
        let files = self.storage.list()?;
        let ids = files.iter().filter_map(|file| BucketId::of_file(file));
        let mut records: Vec<_> = ids.filter_map(|id| self.read(wrapping, id).ok()).collect();
        records.retain(|(record, _)| may_seal(record, kms_key, now) && record.header.left() > 0);
        records.sort_by_key(|(record, _)| std::cmp::Reverse(record.header.created));
        Ok(records)
    }

    fn adopt(
        &self,
        wrapping: &Wrapping,
        record: BucketRecord,
        content: Version,
    ) -> Result<Option<Current>, Error> {
        let key = self.open(wrapping, record.header.id)?;
        record.authenticate(key.key())?;
        let bucket = Current {
            record,
            content,
            key,
            sealed: 0,
            left: 0,
        };
        self.reserve(wrapping, bucket)
    }

    fn create(&self, wrapping: &Wrapping) -> Result<Current, Error> {
        let (key, wrapped) = wrapping.generate(&wrapping.context())?;
        let header = Header {
            store: wrapping.store,
            region: wrapping.region.clone(),
            id: BucketId::from_bytes(wrapping.environment.random_bytes()),
            version: 1,
            created: wrapping.now(),
            reserved: 1,
        };
        let wrapped = wrapped.as_bytes().to_vec();
        let record = BucketRecord::new(header, key.key(), wrapped, &wrapping.environment);
        let content = self.put(&record, Expected::Absent)?;
        let bucket = Current {
            record,
            content,
            key: Arc::new(key),
            sealed: 0,
            left: 1,
        };
        self.hold_current(wrapping, &bucket);
        Ok(bucket)
    }

    /// `bucket` with more entries reserved; none where it has no more, or another process has written its
    /// record.
    fn reserve(&self, wrapping: &Wrapping, mut bucket: Current) -> Result<Option<Current>, Error> {
        let header = &bucket.record.header;
        let more = bucket.sealed.clamp(1, MOST_RESERVED).min(header.left());
        let Some(version) = header.version.checked_add(1).filter(|_| more > 0) else {
            return Ok(None);
        };
        let header = Header {
            version,
            reserved: header.reserved + more,
            ..header.clone()
        };
        let (key, wrapped) = (bucket.key.key(), bucket.record.wrapped);
        bucket.record = BucketRecord::new(header, key, wrapped, &wrapping.environment);
        bucket.content = match self.put(&bucket.record, Expected::Version(bucket.content)) {
            Err(Error::Kms(kms::Error::Conflict(_))) => return Ok(None),
            put => put?,
        };
        bucket.left = more;
        self.hold_current(wrapping, &bucket);
        Ok(Some(bucket))
    }

    /// What was just sealed is mostly opened soon.
    fn hold_current(&self, wrapping: &Wrapping, bucket: &Current) {
        let header = &bucket.record.header;
        let over = header.created + CURRENT;
        let time = over.duration_since(wrapping.now()).unwrap_or_default();
        let opened = hold(bucket.key.clone(), bucket.content, wrapping.now(), time);
        *self.held.place(header.id).lock() = Some(opened);
    }

    // === Records ===

    fn put(&self, record: &BucketRecord, expected: Expected) -> Result<Version, Error> {
        let file = record.header.id.file();
        Ok(self.storage.put(&file, &record.encode(), expected)?)
    }

    fn read(&self, wrapping: &Wrapping, id: BucketId) -> Result<(BucketRecord, Version), Error> {
        let (record, content) = read(&*self.storage, id)?;
        wrapping.check_home(record.header.store, &record.header.region)?;
        Ok((record, content))
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.count()
    }
}

impl Current {
    fn may_seal(&self, kms_key: KeyId, now: SystemTime) -> bool {
        may_seal(&self.record, kms_key, now)
    }
}

/// Whether entries may be sealed under it for a store with that KMS key.
fn may_seal(record: &BucketRecord, kms_key: KeyId, now: SystemTime) -> bool {
    let wrapped_by = record.wrapped_by();
    record.header.is_current(now) && wrapped_by.is_ok_and(|header| header.key_id == kms_key)
}

/// The record of `id` as it stands in `storage`, from whatever store; nothing in it is authenticated.
pub(crate) fn read(storage: &dyn Storage, id: BucketId) -> Result<(BucketRecord, Version), Error> {
    let file = id.file();
    let record = storage.get(&file)?.ok_or(Error::Missing)?;
    Ok((BucketRecord::parse(&file, &record.bytes)?, record.version))
}

/// The key in a record, once that is found authentic.
fn unwrap(wrapping: &Wrapping, record: &BucketRecord) -> Result<DataKey, Error> {
    let key = wrapping.unwrap(&record.wrapped, &wrapping.context())?;
    record.authenticate(key.key())?;
    Ok(key)
}

fn hold(key: Arc<DataKey>, content: Version, now: SystemTime, time: Duration) -> Opened {
    Opened {
        key,
        content,
        since: now,
        until: now + time,
    }
}

/// Says of an entry that it is its bucket key's record that is the trouble.
fn in_record(id: BucketId) -> impl Fn(Error) -> Error {
    move |reason| Error::BucketKey {
        file: id.file(),
        reason: Box::new(reason),
    }
}

/// How long a bucket key that is not sealed under is held after it was opened: a start opens all entries
/// within less.
const HOLD: Duration = Duration::from_secs(5 * 60);
/// Entries that a process reserves at once.
const MOST_RESERVED: u32 = 4096;
