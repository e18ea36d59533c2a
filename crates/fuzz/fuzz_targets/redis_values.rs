#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sparrow_store::fuzzing::redis_values(data));
