use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::{Minter, NAME, Sources};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const MEMBER: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

/// RFC 8032, 7.1, TEST 1.
const ED25519_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
const ED25519_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
const RSA_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArirPU9fywwCnRqJRBlEm
0PLPUkIg0TgE8WbxvElpRRorxOHEVcFtscM8tUsFx5Zsq6vnItBXm+XSL60gsFp+
y5jzhOoj4vOvzrChjsoleeCZbXpP1jM9GhgSItDqBmZHDFBs9ftRlOlU53k4F0CL
sTAnHR3nI08XIAvb9S8Rj189MMPwauFOZkNfGr6E4TKbx6hKeV2+BfatT02n77o+
dXdBwTyFeaRjtUrDWsspx5r35KlcEk0UcXJrciIg0AZtLsmnVyD+F/t+r6XblDuP
a/dbKzDWQNPA4DIn4etDzXEtMQhU4bBogEFSZP6uhIjWPOYTFDkpFdewpu6uyU/k
2wIDAQAB
-----END PUBLIC KEY-----
";

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn with_secret(secret: &str) -> Key {
    let sources = Sources {
        secret: Some(secret.to_owned()),
        ..Sources::default()
    };
    sources.key().unwrap()
}

fn with_public_key(pem: &str) -> Key {
    let path = std::env::temp_dir().join(format!(
        "mypay-auth-{}-{:?}.pem",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, pem).unwrap();
    let sources = Sources {
        public_key_file: Some(path.clone()),
        ..Sources::default()
    };
    let key = sources.key();
    std::fs::remove_file(path).unwrap();
    key.unwrap()
}

fn claims() -> Value {
    json!({
        "iss": NAME, "aud": NAME, "sub": MEMBER, "role": "member", "iat": now(), "exp": now() + 60,
    })
}

fn signed(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), claims, &key).unwrap()
}

fn checked(claims: &Value) -> Result<Identity, Refused> {
    Checker::new(with_secret(SECRET)).check(&signed(claims, SECRET))
}

#[test]
fn a_token_that_we_minted_is_taken_until_it_expires() {
    let key = with_secret(SECRET);
    let who = Identity::new(Role::Staff, "kim.minji").unwrap();
    let token = Minter::new(&key)
        .unwrap()
        .mint(&who, Duration::from_secs(60));
    let checker = Checker::new(key);
    assert_eq!(checker.check(&token.unwrap()), Ok(who));
    let mut old = claims();
    old["exp"] = json!(now() - CLOCKS_DIFFER - 2);
    assert_eq!(checker.check(&signed(&old, SECRET)), Err(Refused::Expired));
}

#[test]
fn a_token_lives_for_a_time_and_for_one_service() {
    assert!(checked(&claims()).is_ok());
    for claim in ["exp", "iss", "aud", "sub", "role"] {
        let mut without = claims();
        without.as_object_mut().unwrap().remove(claim);
        assert_eq!(
            checked(&without),
            Err(Refused::Malformed),
            "without {claim}"
        );
    }
    for (claim, value, why) in [
        ("exp", json!("never"), Refused::Malformed),
        ("exp", json!(null), Refused::Malformed),
        ("nbf", json!(now() + 3_600), Refused::NotForUs),
        ("iss", json!("another issuer"), Refused::NotForUs),
        ("aud", json!("another service"), Refused::NotForUs),
        ("aud", json!([]), Refused::NotForUs),
        ("role", json!("root"), Refused::Identity),
        ("sub", json!("kim.minji"), Refused::Identity),
        ("sub", json!(""), Refused::Identity),
    ] {
        let mut other = claims();
        other[claim] = value.clone();
        assert_eq!(checked(&other), Err(why), "{claim}: {value}");
    }
    let mut many = claims();
    many["aud"] = json!([NAME, "another service"]);
    assert!(checked(&many).is_ok(), "one of several services");
}

#[test]
fn only_our_key_with_its_own_algorithm_will_do() {
    let checker = Checker::new(with_secret(SECRET));
    let stranger = signed(&claims(), "another secret of thirty-two bytes..");
    assert_eq!(checker.check(&stranger), Err(Refused::Signature));
    let token = signed(&claims(), SECRET);
    let (said, _) = token.rsplit_once('.').unwrap();
    // {"alg":"none"}
    let (_, body) = said.split_once('.').unwrap();
    for forged in [format!("{said}."), format!("eyJhbGciOiJub25lIn0.{body}.")] {
        assert!(checker.check(&forged).is_err(), "{forged}");
    }
    for garbage in ["", ".", "..", "a.b.c", "\u{0}", &"x".repeat(TOKEN_MAX + 1)] {
        assert_eq!(checker.check(garbage), Err(Refused::Malformed), "{garbage}");
    }
}

#[test]
fn a_public_key_checks_and_is_never_taken_for_a_secret() {
    let key = EncodingKey::from_ed_pem(ED25519_PRIVATE.as_bytes()).unwrap();
    let token = encode(&Header::new(Algorithm::EdDSA), &claims(), &key).unwrap();
    let checker = Checker::new(with_public_key(ED25519_PUBLIC));
    assert!(checker.check(&token).is_ok());
    for pem in [ED25519_PUBLIC, RSA_PUBLIC] {
        let key = with_public_key(pem);
        assert!(Minter::new(&key).is_err());
        let checker = Checker::new(key);
        for secret in [pem, pem.trim()] {
            assert_eq!(
                checker.check(&signed(&claims(), secret)),
                Err(Refused::Signature)
            );
        }
    }
    assert_eq!(
        Checker::new(with_public_key(RSA_PUBLIC)).check(&token),
        Err(Refused::Signature)
    );
}
