//! Threat L10: the clock is set forwards or backwards under the server. A token is good exactly while the clock says so,
//! cached or not, and no jump leaves anything behind.

use super::*;

const YEAR: i64 = 365 * 86_400;

#[test]
fn a_token_is_good_whenever_the_clock_says_so_however_it_got_there() {
    let clock = Clock::manual(NOW);
    let verifier = Verifier::new(options(), clock.clone()).unwrap();
    let text = token(&json!({"role": "author", "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 60}));
    let path = [
        (0, None),
        (3600, Some("JWT expired")),
        (0, None),
        (-3600, Some("JWT not yet valid")),
        (0, None),
        (100 * YEAR, Some("JWT expired")),
        (-NOW - 1, Some("JWT not yet valid")),
        (59, None),
        (-89, None),
        (0, None),
    ];
    for (step, (from_now, expected)) in path.into_iter().enumerate() {
        clock.set(NOW + from_now);
        // Twice: by its signature, and from the cache.
        for _ in 0..2 {
            let outcome = verifier.verify(&text).map_err(|error| error.to_string());
            assert_eq!(outcome.err().as_deref(), expected, "step {step}: {from_now} s");
        }
    }
}

#[test]
fn registered_keys_outlive_every_jump() {
    let clock = Clock::manual(NOW);
    let keys = ProjectKeys::mint(&Secret::new(SECRET), &Random::seeded(1), &clock);
    let ring = KeyRing::of_project(&keys, "anon", "service_role");
    for jump in [0, 3600, -3600, YEAR, -YEAR, 0] {
        clock.set(NOW + jump);
        let found = [&keys.anon_key, &keys.publishable_key, &keys.service_role_key, &keys.secret_key]
            .map(|key| ring.find(key.expose()).map(|caller| caller.role.to_string()));
        let expected = ["anon", "anon", "service_role", "service_role"].map(|role| Some(role.to_owned()));
        assert_eq!(found, expected, "{jump} s");
    }
}
