//! `envoy.filters.http.compressor`, of a chain and of a route alike.

use api::envoy::compressor::compressor::{
    CommonDirectionConfig, RequestDirectionConfig, ResponseDirectionConfig,
};
use api::envoy::compressor::compressor_per_route::Override;
use api::envoy::compressor::{
    Compressor, CompressorOverrides, CompressorPerRoute, ResponseDirectionOverrides,
};
use api::envoy::core::TypedExtensionConfig;
use api::envoy::{brotli, gzip, zstd};
use prost::Name;

use super::type_name;
use crate::compile::at::{At, Fault, decide, typed};
use crate::compile::network::is_on;
use crate::compile::{matcher, value};
use crate::limits::MAX_CONTENT_TYPES;
use crate::snapshot::{
    self, BrotliMode, Compression, CompressorOverride, Etags, StringKind, StringMatch,
};

/// Envoy's.
const MIN_BYTES: u32 = 30;
const TYPES: [&str; 8] = [
    "application/javascript",
    "application/json",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/plain",
    "text/xml",
];

pub(super) fn compile(at: &At<'_>, compressor: &Compressor) -> Result<snapshot::Compressor, Fault> {
    decide!(at, compressor => Compressor {
        used: content_length, content_type, disable_on_etag_header, remove_accept_encoding_header,
            runtime_enabled, compressor_library, request_direction_config,
            response_direction_config;
        refused: choose_first;
    });
    request(&at.field("request_direction_config"), request_direction_config.as_ref())?;
    let place = at.field("compressor_library");
    let compression = match compressor_library {
        Some(given) => library(&place, given)?,
        None => return Err(place.missing("it has to be given")),
    };
    // The deprecated fields hold where nothing else is said, as in Envoy.
    let Some(response) = response_direction_config else {
        return Ok(snapshot::Compressor {
            compression,
            is_on: is_on(runtime_enabled.as_ref()),
            min_bytes: value::u32_or(content_length, MIN_BYTES).into(),
            types: types(&at.field("content_type"), content_type)?,
            etags: if *disable_on_etag_header { Etags::Kept } else { Etags::Removed },
            hides_wishes: *remove_accept_encoding_header,
            spares: Vec::new(),
        });
    };
    let at = at.field("response_direction_config");
    decide!(at, response => ResponseDirectionConfig {
        used: common_config, disable_on_etag_header, weaken_etag_on_compress,
            remove_accept_encoding_header, uncompressible_response_codes;
        refused: status_header_enabled;
    });
    let common = common(&at.field("common_config"), common_config.as_ref())?;
    let codes = uncompressible_response_codes.iter();
    Ok(snapshot::Compressor {
        compression,
        is_on: common.is_on,
        min_bytes: common.min_bytes,
        types: common.types,
        etags: match (*disable_on_etag_header, *weaken_etag_on_compress) {
            (true, _) => Etags::Kept,
            (false, true) => Etags::Weakened,
            (false, false) => Etags::Removed,
        },
        hides_wishes: *remove_accept_encoding_header,
        spares: codes.filter_map(|code| u16::try_from(*code).ok()).collect(),
    })
}

/// Requests are not compressed.
fn request(at: &At<'_>, given: Option<&RequestDirectionConfig>) -> Result<(), Fault> {
    let Some(RequestDirectionConfig { common_config }) = given else { return Ok(()) };
    match common(&at.field("common_config"), common_config.as_ref())?.is_on {
        true => Err(at.unsupported("requests are not compressed: `enabled` has to be `false`")),
        false => Ok(()),
    }
}

struct Common {
    is_on: bool,
    min_bytes: u64,
    types: Vec<StringMatch>,
}

fn common(at: &At<'_>, given: Option<&CommonDirectionConfig>) -> Result<Common, Fault> {
    let default = CommonDirectionConfig::default();
    let given = given.unwrap_or(&default);
    decide!(at, given => CommonDirectionConfig {
        used: enabled, min_content_length, content_type, content_type_matcher;
    });
    let place = at.field("content_type_matcher");
    place.at_most(MAX_CONTENT_TYPES, content_type_matcher.len())?;
    let more = content_type_matcher.iter().enumerate();
    let more = more.map(|(index, one)| matcher::string(&place.item(index), one));
    let more = more.collect::<Result<Vec<_>, _>>()?;
    // As in Envoy the usual ones hold where neither list has any.
    let mut types = match content_type.is_empty() && !more.is_empty() {
        true => Vec::new(),
        false => self::types(&at.field("content_type"), content_type)?,
    };
    types.extend(more);
    Ok(Common {
        is_on: is_on(enabled.as_ref()),
        min_bytes: value::u32_or(min_content_length, MIN_BYTES).into(),
        types,
    })
}

fn types(at: &At<'_>, given: &[String]) -> Result<Vec<StringMatch>, Fault> {
    at.at_most(MAX_CONTENT_TYPES, given.len())?;
    let exact = |text: &str| StringMatch {
        kind: StringKind::Exact(text.as_bytes().into()),
        ignore_case: false,
    };
    Ok(match given {
        [] => TYPES.iter().map(|text| exact(text)).collect(),
        given => given.iter().map(|text| exact(text)).collect(),
    })
}

fn library(at: &At<'_>, given: &TypedExtensionConfig) -> Result<Compression, Fault> {
    let TypedExtensionConfig { name, typed_config } = given;
    let at = at.field("typed_config");
    let Some(any) = typed_config else {
        return Err(at.missing(format!("the compressor `{name}`")));
    };
    let kind = type_name(any);
    if kind == gzip::Gzip::full_name() {
        gzip(&at, &typed(&at, any)?)
    } else if kind == brotli::Brotli::full_name() {
        brotli(&at, &typed(&at, any)?)
    } else if kind == zstd::Zstd::full_name() {
        zstd(&at, &typed(&at, any)?)
    } else {
        Err(at.unsupported(format!("the compressor `{name}` ({kind}) is not supported")))
    }
}

fn gzip(at: &At<'_>, given: &gzip::Gzip) -> Result<Compression, Fault> {
    const USUAL_LEVEL: u8 = 6;
    decide!(at, given => gzip::Gzip {
        used: compression_level, window_bits;
        refused: compression_strategy;
        // What the library keeps besides, and how it cuts its output.
        without_effect: memory_level, chunk_size;
    });
    let level = match compression_level {
        0 => USUAL_LEVEL,
        level => within(&at.field("compression_level"), *level, 1..=9)?,
    };
    let window_bits = value::u32_or(window_bits, 12).try_into().unwrap_or(i32::MAX);
    Ok(Compression::Gzip {
        level,
        window_bits: within(&at.field("window_bits"), window_bits, 9..=15)?,
    })
}

fn brotli(at: &At<'_>, given: &brotli::Brotli) -> Result<Compression, Fault> {
    use brotli::brotli::EncoderMode;
    decide!(at, given => brotli::Brotli {
        used: quality, encoder_mode, window_bits, input_block_bits;
        refused: disable_literal_context_modeling;
        without_effect: chunk_size;
    });
    let number = |name: &str, given, default, range| {
        let number = value::u32_or(given, default).try_into().unwrap_or(i32::MAX);
        within(&at.field(name), number, range)
    };
    Ok(Compression::Brotli {
        quality: number("quality", quality, 3, 0..=11)?,
        window_bits: number("window_bits", window_bits, 18, 10..=24)?,
        block_bits: match input_block_bits {
            None => 0,
            given => number("input_block_bits", given, 0, 16..=24)?,
        },
        mode: match value::enumeration(&at.field("encoder_mode"), *encoder_mode)? {
            EncoderMode::Default | EncoderMode::Generic => BrotliMode::Generic,
            EncoderMode::Text => BrotliMode::Text,
            EncoderMode::Font => BrotliMode::Font,
        },
    })
}

fn zstd(at: &At<'_>, given: &zstd::Zstd) -> Result<Compression, Fault> {
    decide!(at, given => zstd::Zstd {
        used: compression_level, enable_checksum;
        refused: strategy, dictionary;
        without_effect: chunk_size;
    });
    let level = value::u32_or(compression_level, 3).try_into().unwrap_or(i32::MAX);
    let level: u8 = within(&at.field("compression_level"), level, 1..=22)?;
    Ok(Compression::Zstd { level: level.into(), has_checksum: *enable_checksum })
}

fn within(at: &At<'_>, number: i32, range: std::ops::RangeInclusive<i32>) -> Result<u8, Fault> {
    let fits = u8::try_from(number).ok().filter(|_| range.contains(&number));
    fits.ok_or_else(|| at.invalid(format!("between {} and {}", range.start(), range.end())))
}

pub(super) fn of_route(
    at: &At<'_>,
    said: &CompressorPerRoute,
) -> Result<CompressorOverride, Fault> {
    let CompressorPerRoute { r#override } = said;
    let given = match r#override {
        Some(Override::Disabled(true)) => {
            return Ok(CompressorOverride { is_on: Some(false), hides_wishes: None });
        }
        Some(Override::Disabled(false)) => {
            return Err(at.field("disabled").invalid("only `true`"));
        }
        Some(Override::Overrides(given)) => given,
        None => return Err(at.missing("`disabled` or `overrides` has to be given")),
    };
    let at = at.field("overrides");
    decide!(at, given => CompressorOverrides {
        used: response_direction_config;
        refused: compressor_library;
    });
    let Some(response) = response_direction_config else {
        return Ok(CompressorOverride::default());
    };
    let ResponseDirectionOverrides { remove_accept_encoding_header: hides } = response;
    let hides_wishes = hides.as_ref().map(|given| given.value);
    Ok(CompressorOverride { is_on: Some(true), hides_wishes })
}
