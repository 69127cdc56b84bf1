//! Counts the functions of a file. The compiler needs several kilobytes for each, even for an empty one of four bytes.

use wasmparser::{Parser, Payload};

use super::ScreeningError;

/// How many functions the modules of a file may have together. Components with the runtime of Python have some 14,000.
pub(super) const LIMIT: u64 = 100_000;

/// Checks that a file has a limited number of functions. Malformed files are not reported here; the validator reports
/// them.
pub(super) fn check(bytes: &[u8]) -> Result<(), ScreeningError> {
    let mut functions = 0_u64;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        if let Payload::CodeSectionStart { count, .. } = payload {
            functions = functions.saturating_add(count.into());
        }
        if functions > LIMIT {
            return Err(ScreeningError::TooManyFunctions(functions));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_of_all_modules_count() {
        let module = |count: u64| format!("(core module {})", "(func)".repeat(usize::try_from(count).unwrap()));
        let check = |text: &str| check(&wat::parse_str(text).unwrap());
        assert!(check(&format!("(component {})", module(LIMIT))).is_ok());
        let two = format!("(component {} (component {}))", module(LIMIT / 2), module(LIMIT / 2 + 1));
        assert!(matches!(check(&two), Err(ScreeningError::TooManyFunctions(count)) if count == LIMIT + 1));
    }
}
