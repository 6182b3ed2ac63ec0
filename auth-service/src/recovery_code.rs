//! Recovery codes: ten for each authenticator app, for the day on which it is out of reach. Each has 80 random bits, which
//! nobody guesses, so that a plain hash is enough to keep them; whoever typed one may have mistaken letters for digits
//! that look like them.

use std::fmt;

use rand::RngExt as _;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

/// How many an account has.
pub const COUNT: usize = 10;

const SYMBOLS: usize = 16;
const GROUP: usize = 4;

/// Crockford's base 32: no letter in it looks like another or like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const LABEL: &str = "voltgate recovery code, version 1\n";

/// A recovery code, without the dashes.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode([u8; SYMBOLS]);

impl RecoveryCode {
    pub fn generate() -> Self {
        let mut random = rand::rng();
        Self(std::array::from_fn(|_| {
            ALPHABET[random.random_range(0..ALPHABET.len())]
        }))
    }

    /// What somebody typed, in any case, with or without dashes and spaces. Nothing where it cannot be a code.
    pub fn parse(text: &str) -> Option<Self> {
        let symbols: Option<Vec<u8>> = text
            .chars()
            .filter(|c| *c != '-' && !c.is_whitespace())
            .map(|c| match c.to_ascii_lowercase() {
                'o' => Some(b'0'),
                'i' | 'l' => Some(b'1'),
                c => u8::try_from(c).ok().filter(|symbol| ALPHABET.contains(symbol)),
            })
            .take(SYMBOLS + 1)
            .collect();
        symbols?.try_into().ok().map(Self)
    }

    /// What the database keeps: bound to the account, so that one code in two accounts does not show.
    fn hash(&self, account: Uuid) -> Vec<u8> {
        let hash = Sha256::new()
            .chain_update(LABEL)
            .chain_update(account.as_bytes())
            .chain_update(self.0);
        hash.finalize().to_vec()
    }
}

impl fmt::Display for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, symbol) in self.0.iter().enumerate() {
            if position > 0 && position % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*symbol))?;
        }
        Ok(())
    }
}

/// Makes new codes for an account that has an authenticator app, instead of those it has.
pub async fn renew(connection: &mut PgConnection, account: Uuid) -> Result<Vec<RecoveryCode>, sqlx::Error> {
    let codes: Vec<_> = (0..COUNT).map(|_| RecoveryCode::generate()).collect();
    let hashes: Vec<_> = codes.iter().map(|code| code.hash(account)).collect();
    sqlx::query!(
        "DELETE FROM authentication.recovery_code WHERE account_id = $1",
        account
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO authentication.recovery_code (account_id, hash) SELECT $1, unnest($2::bytea[])",
        account,
        &hashes
    )
    .execute(connection)
    .await?;
    Ok(codes)
}

/// Uses a code up. Of any number of attempts at once, one finds it.
pub async fn spend(connection: &mut PgConnection, account: Uuid, code: &RecoveryCode) -> Result<bool, sqlx::Error> {
    let spent = sqlx::query!(
        "DELETE FROM authentication.recovery_code WHERE account_id = $1 AND hash = $2",
        account,
        code.hash(account)
    )
    .execute(connection)
    .await?;
    Ok(spent.rows_affected() == 1)
}

/// How many codes an account has left.
pub async fn left(connection: &mut PgConnection, account: Uuid) -> Result<i32, sqlx::Error> {
    let left = sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "left!" FROM authentication.recovery_code WHERE account_id = $1"#,
        account
    );
    left.fetch_one(connection).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_shown_in_four_groups_and_read_back() {
        let code = RecoveryCode::generate();
        let shown = code.to_string();
        assert_eq!(shown.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
        assert!(RecoveryCode::parse(&shown).unwrap() == code);
    }

    #[test]
    fn what_looks_alike_is_read_alike() {
        let code = RecoveryCode::parse("0011-abcd-efgh-jkmn").unwrap();
        for typed in [
            "OOIL-ABCD-EFGH-JKMN",
            " oolI abcd efgh jkmn ",
            "0o1iabcdefghjkmn",
            "0011 - abcd - efgh - jkmn",
        ] {
            assert!(RecoveryCode::parse(typed).unwrap() == code, "{typed}");
        }
    }

    #[test]
    fn what_is_no_code_is_not_taken_for_one() {
        for typed in [
            "",
            "123456",
            "0011-abcd-efgh-jkm",
            "0011-abcd-efgh-jkmnp",
            "0011-abcd-efgh-jkmu",
            "0011-abcd-efgh-jkmé",
        ] {
            assert!(RecoveryCode::parse(typed).is_none(), "{typed}");
        }
    }

    #[test]
    fn a_hash_belongs_to_one_code_of_one_account() {
        let (code, account) = (RecoveryCode::generate(), Uuid::now_v7());
        assert_eq!(code.hash(account), code.hash(account));
        assert_ne!(code.hash(account), code.hash(Uuid::now_v7()));
        assert_ne!(code.hash(account), RecoveryCode::generate().hash(account));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            if let Some(code) = RecoveryCode::parse(&text) {
                prop_assert!(RecoveryCode::parse(&code.to_string()).unwrap() == code);
            }
        }
    }
}
