//! What tokens and the check of addresses cost: each is part of every sign-in, and the check of a token of every request
//! whose token was not seen before.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use goforward::kernel::clock::Clock;
use goforward::kernel::identity::{Signer, Verifier, VerifierOptions};
use goforward::kernel::sanitise::{Field, Policy, sanitise};
use goforward::kernel::secret::Secret;
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

fn claims() -> Value {
    json!({
        "iss": "https://api.example.com/auth/v1", "sub": "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "aud": "authenticated",
        "exp": 4_000_000_000_i64, "iat": 1_700_000_000, "email": "jane@example.org", "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]}, "user_metadata": {"name": "Jane"},
        "role": "authenticated", "aal": "aal1", "amr": [{"method": "password", "timestamp": 1_700_000_000}],
        "session_id": "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb", "is_anonymous": false, "app_roles": ["user"],
    })
}

fn tokens(criterion: &mut Criterion) {
    let signer = Signer::new(&Secret::new(SECRET), false).unwrap();
    let options =
        VerifierOptions { secret: Some(Secret::new(SECRET)), cache_entries: 0, ..VerifierOptions::default() };
    let verifier = Verifier::new(options, Clock::system()).unwrap();
    let (claims, mut group) = (claims(), criterion.benchmark_group("token"));
    let token = signer.sign(&claims).unwrap();
    group.bench_function("issue", |bencher| bencher.iter(|| signer.sign(black_box(&claims)).unwrap()));
    group.bench_function("verify", |bencher| bencher.iter(|| verifier.verify(black_box(&token)).unwrap()));
    group.finish();
}

fn addresses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("address");
    group.throughput(Throughput::Elements(1));
    for (name, address) in [("plain", "jane.doe@example.org"), ("odd", "jаne\u{200b}.doe+x@exämple.org")] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| sanitise(Field::Email, Policy::Clean, black_box(address)).value.len());
        });
    }
    group.finish();
}

criterion_group!(benches, tokens, addresses);
criterion_main!(benches);
