//! Sign-in: a password, and signed cookies that say until when somebody is signed in.
//!
//! Nothing is stored: a cookie is valid if its signature is, and it is signed with the password as well, so that a new
//! password ends all sessions.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// What signs sessions.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// What somebody has to know to control.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Issues and checks session cookies.
#[derive(Debug)]
pub(crate) struct Sessions {
    key: hmac::Key,
    password: Option<Password>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
    secure: bool,
}

/// Wrong passwords from one address.
#[derive(Debug)]
struct Failures {
    count: u32,
    first: Instant,
}

/// Why nobody was signed in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is nothing to sign in to.
    NoPassword,
    /// Not the password.
    Wrong,
    /// Too many wrong ones; try again after so many seconds.
    TooMany(u64),
}

impl Secret {
    /// A new one.
    pub fn random() -> Self {
        Self(random::<32>().to_vec())
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.len() {
            0..32 => Err("at least 32 characters are needed, for instance from `openssl rand -base64 48`"),
            _ => Ok(Self(text.as_bytes().to_vec())),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Password {
    /// The first line of a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let wrong = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        match text.lines().next().unwrap_or_default() {
            "" => Err(wrong(&"its first line, which is the password, is empty")),
            line => Ok(Self(line.to_owned())),
        }
    }

    /// This one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Sessions {
    /// `secure`: cookies are for https only.
    pub(crate) fn new(secret: &Secret, password: Option<Password>, secure: bool) -> Self {
        let base = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let purpose = format!("session {}", password.as_ref().map_or("", |password| &password.0));
        let key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&base, purpose.as_bytes()).as_ref());
        Self { key, password, failures: Mutex::default(), secure }
    }

    /// Whether control asks for a password.
    pub(crate) fn needs_password(&self) -> bool {
        self.password.is_some()
    }

    /// Signs somebody in; gives the `set-cookie` header.
    pub(crate) fn sign_in(&self, password: &str, from: IpAddr) -> Result<String, Refused> {
        let Some(Password(expected)) = &self.password else { return Err(Refused::NoPassword) };
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, failures| now.duration_since(failures.first) < FORGIVEN);
        let known = failures.get(&from).map_or(0, |failures| failures.count);
        if known >= TRIES || (known == 0 && failures.len() >= ADDRESSES) {
            let first = failures.get(&from).map_or(now, |failures| failures.first);
            return Err(Refused::TooMany(FORGIVEN.saturating_sub(now - first).as_secs().max(1)));
        }
        // Compared by their signatures, which takes the same time wherever they differ.
        let given = hmac::sign(&self.key, password.as_bytes());
        if hmac::verify(&self.key, expected.as_bytes(), given.as_ref()).is_err() {
            failures.entry(from).or_insert(Failures { count: 0, first: now }).count += 1;
            return Err(Refused::Wrong);
        }
        failures.remove(&from);
        Ok(self.cookie(&self.issue(unix() + LASTS.as_secs()), LASTS))
    }

    /// The `set-cookie` header that signs out.
    pub(crate) fn sign_out(&self) -> String {
        self.cookie("", Duration::ZERO)
    }

    /// Whether one of the cookies of a request is a session that has not ended.
    pub(crate) fn is_signed_in(&self, cookies: &str) -> bool {
        let values =
            cookies.split(';').filter_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='));
        self.password.is_some() && values.into_iter().any(|value| self.is_valid(value))
    }

    fn issue(&self, until: u64) -> String {
        let said = format!("{until}.{}", BASE64.encode(random::<16>()));
        let signature = BASE64.encode(hmac::sign(&self.key, said.as_bytes()));
        format!("{said}.{signature}")
    }

    fn is_valid(&self, value: &str) -> bool {
        let Some((said, signature)) = value.rsplit_once('.') else { return false };
        let Ok(signature) = BASE64.decode(signature) else { return false };
        let until = said.split('.').next().and_then(|until| until.parse::<u64>().ok());
        hmac::verify(&self.key, said.as_bytes(), &signature).is_ok()
            && until.is_some_and(|until| unix() < until)
    }

    fn cookie(&self, value: &str, lasts: Duration) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{NAME}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", lasts.as_secs())
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

const NAME: &str = "cortexiq_session";
/// A working day.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Wrong passwords from one address before it has to wait.
const TRIES: u32 = 5;
/// How long it has to wait.
const FORGIVEN: Duration = Duration::from_secs(60);
/// Addresses whose mistakes are remembered; further ones have to wait.
const ADDRESSES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn sessions(secret: &str, password: &str) -> Sessions {
        Sessions::new(&secret.parse().expect("long enough"), Some(Password::new(password)), false)
    }

    fn value(cookie: &str) -> &str {
        cookie.split(';').next().expect("name and value")
    }

    #[test]
    fn a_session_is_signed_with_secret_and_password() {
        let ours = sessions("0123456789abcdef0123456789abcdef", "sesame");
        let cookie = ours.sign_in("sesame", HERE).expect("the password");
        assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains("Secure"), "{cookie}");
        assert!(ours.is_signed_in(&format!("a=b; {}; c=d", value(&cookie))));
        for other in [
            sessions("0123456789abcdef0123456789abcdeX", "sesame"),
            sessions("0123456789abcdef0123456789abcdef", "simsim"),
        ] {
            assert!(!other.is_signed_in(value(&cookie)));
        }
        let forged = value(&cookie).replacen("session=1", "session=2", 1);
        assert!(forged != value(&cookie) && !ours.is_signed_in(&forged));
        assert!(
            !ours.is_signed_in("")
                && !ours.is_signed_in("cortexiq_session=")
                && !ours.is_signed_in("cortexiq_session=a.b.c")
        );
        assert!(!ours.is_signed_in(value(&ours.sign_out())));
    }

    #[test]
    fn a_session_ends() {
        let sessions = sessions("0123456789abcdef0123456789abcdef", "sesame");
        assert!(sessions.is_valid(&sessions.issue(unix() + 60)));
        assert!(!sessions.is_valid(&sessions.issue(unix())));
    }

    #[test]
    fn guessing_is_slow() {
        let sessions = sessions("0123456789abcdef0123456789abcdef", "sesame");
        for _ in 0..TRIES {
            assert_eq!(sessions.sign_in("guess", HERE), Err(Refused::Wrong));
        }
        assert!(matches!(sessions.sign_in("sesame", HERE), Err(Refused::TooMany(1..=60))));
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert!(sessions.sign_in("sesame", elsewhere).is_ok(), "others are not kept out");
    }

    #[test]
    fn https_keeps_the_cookie_to_itself() {
        let secret = Secret::random();
        let sessions = Sessions::new(&secret, Some(Password::new("sesame")), true);
        assert!(sessions.sign_in("sesame", HERE).expect("the password").ends_with("; Secure"));
        let open = Sessions::new(&secret, None, false);
        assert_eq!(open.sign_in("", HERE), Err(Refused::NoPassword));
    }
}
