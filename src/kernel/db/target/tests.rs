//! What connection strings mean, by example.

use super::*;

#[test]
fn a_url_names_host_port_login_and_database() {
    let target =
        Target::parse("postgres://bob:s%40cret@db.example.com:5433/shop?sslmode=verify-full").unwrap();
    assert_eq!(target.hosts, [Host::new("db.example.com", 5433)]);
    assert_eq!(target.user, "bob");
    assert_eq!(target.password.unwrap().expose(), "s@cret");
    assert_eq!(target.dbname, "shop");
    assert_eq!(target.ssl_mode, SslMode::VerifyFull);
}

#[test]
fn a_socket_directory_comes_as_a_parameter_or_percent_encoded() {
    let by_parameter = Target::parse("postgresql://bob@/shop?host=/run/pg&port=6000").unwrap();
    let encoded = Target::parse("postgres://bob@%2Frun%2Fpg:6000/shop").unwrap();
    assert_eq!(by_parameter.hosts, [Host { address: Address::Unix("/run/pg".into()), port: 6000 }]);
    assert_eq!(by_parameter.hosts, encoded.hosts);
}

#[test]
fn several_hosts_keep_their_order_and_ports() {
    let target = Target::parse("postgres://a:1,[::1]:2,b/x?target_session_attrs=read-write").unwrap();
    assert_eq!(target.hosts, [Host::new("a", 1), Host::new("::1", 2), Host::new("b", 5432)]);
    assert_eq!(target.session_attributes, SessionAttributes::ReadWrite);
    let shared = Target::parse("host=a,b port=7 dbname=x").unwrap();
    assert_eq!(shared.hosts, [Host::new("a", 7), Host::new("b", 7)]);
}

#[test]
fn key_value_pairs_take_quotes_and_escapes() {
    let target =
        Target::parse(r"host = 'a b' user=bob password='it\'s \\ me' options='-c geqo=off'").unwrap();
    assert_eq!(target.password.unwrap().expose(), r"it's \ me");
    assert_eq!(target.dbname, "bob", "the database is named as the user where none is given");
    assert_eq!(target.options.as_deref(), Some("-c geqo=off"));
}

#[test]
fn a_mistake_is_named_without_showing_a_value() {
    let cases = [
        ("mysql://x", "must look like"),
        ("postgres://u:hunter2%zz@h/d", "write a literal % as %25"),
        ("postgres://u:hunter2@h/d?sslmode=yes", "sslmode of the database URL must be"),
        ("postgres://u:hunter2@h:99999/d", "port of the database URL must be"),
        ("postgres://u:hunter2@h/d?conect_timeout=3", "unknown parameter \"conect_timeout\""),
        ("postgres://u:hunter2@h/d?sslkey=x", "not supported"),
        ("host=a,b,c port=1,2", "3 hosts but 2 ports"),
        ("host='a", "unclosed quote"),
    ];
    for (text, part) in cases {
        let message = Target::parse(text).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn debug_output_hides_the_password() {
    let target = Target::parse("postgres://u:hunter2@h/d").unwrap();
    assert!(!format!("{target:?}").contains("hunter2"));
}

#[test]
fn sqlx_gets_the_same_place() {
    let target =
        Target::parse("postgres://u:p@/d?host=/run/pg&port=7&options=-c%20geqo%3Doff%20--jit%3Doff").unwrap();
    let options = target.to_sqlx(&target.hosts[0]);
    assert_eq!(options.get_port(), 7);
    assert_eq!(options.get_socket(), Some(&PathBuf::from("/run/pg")));
    assert_eq!(options.get_options(), Some("-c geqo=off -c jit=off"));
}

#[test]
fn a_server_fits_by_what_it_says_of_itself() {
    use SessionAttributes as Wanted;
    let (primary, read_only_primary, standby) = ((false, false), (false, true), (true, false));
    let table = [
        (Wanted::Any, [true, true, true]),
        (Wanted::ReadWrite, [true, false, false]),
        (Wanted::ReadOnly, [false, true, true]),
        (Wanted::Primary, [true, true, false]),
        (Wanted::Standby, [false, false, true]),
        (Wanted::PreferStandby, [false, false, true]),
    ];
    for (wanted, expected) in table {
        let fits =
            [primary, read_only_primary, standby].map(|(standby, read_only)| wanted.fit(standby, read_only));
        assert_eq!(fits, expected, "{wanted:?}");
    }
}
