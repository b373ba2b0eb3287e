//! Small bodies and keys made small: zstd with dictionaries that come with the program.
//!
//! A FHIR resource of 700 bytes says mostly what every resource says. The dictionaries were trained on synthetic charts of
//! the demo nation only, never on stored data: a dictionary made of patients' records would keep pieces of what a purge
//! must erase. A dictionary is part of the file format: it is never changed, only joined by a newer one with a codec of its
//! own.

use bytes::Bytes;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::CParameter;

/// Level of compression: with these dictionaries higher ones save a hundredth and take twice the time.
const LEVEL: i32 = 1;
/// Contexts kept for the next one who needs one.
const MAX_IDLE: usize = 8;

/// A dictionary made ready for both directions.
pub(super) struct Squeezer {
    encoder: EncoderDictionary<'static>,
    decoder: DecoderDictionary<'static>,
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

/// For bodies.
pub(super) static BODIES: LazyLock<Squeezer> =
    LazyLock::new(|| Squeezer::new(include_bytes!("dictionaries/bodies-1")));
/// For packed keys.
pub(super) static KEYS: LazyLock<Squeezer> =
    LazyLock::new(|| Squeezer::new(include_bytes!("dictionaries/keys-1")));

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Squeezer {
    fn new(dictionary: &[u8]) -> Self {
        Self {
            encoder: EncoderDictionary::copy(dictionary, LEVEL),
            decoder: DecoderDictionary::copy(dictionary),
            compressors: Mutex::default(),
            decompressors: Mutex::default(),
        }
    }

    /// The bytes made smaller; `None` when that does not help.
    pub(super) fn pack(&'static self, bytes: &[u8]) -> Option<Vec<u8>> {
        let idle = locked(&self.compressors).pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => {
                let mut fresh = Compressor::with_prepared_dictionary(&self.encoder).ok()?;
                fresh.set_parameter(CParameter::ChecksumFlag(false)).ok()?;
                fresh.set_parameter(CParameter::DictIdFlag(false)).ok()?;
                fresh
            }
        };
        let packed = compressor.compress(bytes).ok();
        let mut idle = locked(&self.compressors);
        if idle.len() < MAX_IDLE {
            idle.push(compressor);
        }
        packed.filter(|p| p.len() < bytes.len())
    }

    /// The bytes as they were, at most `limit`; `None` when they cannot be read.
    pub(super) fn unpack(&'static self, packed: &[u8], limit: usize) -> Option<Bytes> {
        let idle = locked(&self.decompressors).pop();
        let mut decompressor = match idle {
            Some(decompressor) => decompressor,
            None => Decompressor::with_prepared_dictionary(&self.decoder).ok()?,
        };
        // A frame of ours says its size; one that does not is none of ours.
        let size = Decompressor::upper_bound(packed).filter(|size| *size <= limit);
        let out = size.and_then(|size| decompressor.decompress(packed, size).ok());
        let mut idle = locked(&self.decompressors);
        if idle.len() < MAX_IDLE {
            idle.push(decompressor);
        }
        out.map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_resource_shrinks_to_a_third() {
        let body = br#"{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8310-5","display":"Temperatur"}]},"subject":{"reference":"Patient/0190a5c8-77b1-7c11-9d3c-0242ac120002"},"effectiveDateTime":"2026-01-15T09:30:00+01:00","valueQuantity":{"value":37.1,"unit":"Cel","system":"http://unitsofmeasure.org","code":"Cel"}}"#;
        let packed = BODIES.pack(body).unwrap();
        assert!(
            packed.len() * 3 < body.len(),
            "{} of {}",
            packed.len(),
            body.len()
        );
        assert_eq!(BODIES.unpack(&packed, 1 << 20).unwrap(), &body[..]);
        assert!(BODIES.unpack(&packed, 10).is_none(), "beyond the limit");
    }

    proptest! {
        #[test]
        fn everything_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            for squeezer in [&*BODIES, &*KEYS] {
                if let Some(packed) = squeezer.pack(&bytes) {
                    prop_assert_eq!(&squeezer.unpack(&packed, bytes.len()).unwrap()[..], &bytes[..]);
                }
                let _ = squeezer.unpack(&bytes, 1 << 20);
            }
        }
    }
}
