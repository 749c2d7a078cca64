//! The types, their values, and the table that holds them: a column for each type, and one for arrays of it.

use std::fmt::Write;

use crate::support::Database;

/// A type, and values of it as SQL literals. More than its input function is asked to hold is found by Postgres.
pub struct Case {
    pub type_name: &'static str,
    values: &'static [&'static str],
    /// The first major version that has it, where not all that we read from do.
    since: u32,
}

const fn case(type_name: &'static str, values: &'static [&'static str]) -> Case {
    since(0, type_name, values)
}

const fn since(since: u32, type_name: &'static str, values: &'static [&'static str]) -> Case {
    Case { type_name, values, since }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("bool", &["true", "false"]),
    case("int2", &["-32768", "32767", "0"]),
    case("int4", &["-2147483648", "2147483647"]),
    case("int8", &["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    case("float4", &["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1"]),
    case("float8", &["NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1", "9007199254740993"]),
    case("numeric", &["NaN", "Infinity", "-Infinity", "0.00", "1.10", "123456789012345678901234567890.123456789012345678901234567890", "1e-1000", "-1e1000"]),
    case("numeric(7,2)", &["-99999.99", "0.1", "NaN"]),
    since(15, "numeric(3,-2)", &["99900", "-100"]),
    case("money", &["-92233720368547758.08", "92233720368547758.07", "0.01"]),
    case("text", &["", "NULL", "\\N", "\\.", "a\tb\nc\\d\r\u{1}", "Grüße 漢字 🜂", "'; DROP TABLE types; --", "{\"a,b\"}"]),
    case("varchar(5)", &["", "12345", "ünïcö"]),
    case("varchar", &["", " two  spaces "]),
    case("char(5)", &["", "ab", "12345"]),
    case("bpchar", &["ab   ", ""]),
    case("\"char\"", &["a", "", "\\377"]),
    case("name", &["", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"]),
    case("bytea", &["", "\\x00", "\\x5c2728290a0d090022", "\\xff"]),
    case("uuid", &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    case("date", &["-infinity", "infinity", "4713-01-01 BC", "0001-12-31 BC", "5874897-12-31", "2000-02-29", "12345-06-07"]),
    case("time", &["00:00:00", "24:00:00", "23:59:59.999999"]),
    case("time(0)", &["24:00:00", "12:00:01"]),
    case("timetz", &["24:00:00+15:59", "00:00:00-15:59", "12:34:56.789012+05:30:15"]),
    case("timestamp", &["-infinity", "infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "1999-12-31 24:00:00", "0044-03-15 12:00:00 BC"]),
    case("timestamp(3)", &["2024-02-29 12:00:00.123"]),
    case("timestamptz", &["-infinity", "infinity", "4713-01-02 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "2024-03-31 02:30:00+05:45", "12345-01-01 00:00:00+00"]),
    case("interval", &["0", "-178000000 years", "178000000 years", "1 year -2 mons +3 days -04:05:06.789012", "-00:00:00.000001", "24:00:00"]),
    since(15, "interval", &["2562047788:00:54.775807"]),
    case("interval day to second(2)", &["1 day 02:03:04.56"]),
    case("json", &["null", "{ \"b\" : 1,  \"a\":2, \"a\":3 }", "123456789012345678901234567890.10", "\"\\u0041\\u00fc\"", "[1e400, 9007199254740993]", "\"\""]),
    case("jsonb", &["null", "{ \"b\" : 1,  \"a\":2, \"a\":3 }", "123456789012345678901234567890.10", "\"\\u0041\\u00fc 🜂\"", "[9007199254740993, -0.0, 1.00]", "{}", "[]"]),
    case("jsonpath", &["$.\"a\"[*]?(@.\"b\" > 1)", "strict $"]),
    case("xml", &["<a>x &amp; y</a>", "plain", "<?xml version=\"1.0\"?><b/>"]),
    case("bit", &["0", "1"]),
    case("bit(9)", &["000000000", "111111111"]),
    case("varbit", &["", "1", "101010101010101010101"]),
    case("varbit(5)", &["", "10101"]),
    case("point", &["(NaN,-Infinity)", "(0.1,-0)", "(1e-300,1e300)"]),
    case("line", &["{1,-1,0.5}", "{0,1,-3}"]),
    case("lseg", &["[(0,0),(1.5,-2)]"]),
    case("box", &["(1,2),(-3,-4)"]),
    case("path", &["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"]),
    case("polygon", &["((0,0),(1,1),(2,0))"]),
    case("circle", &["<(0,0),0>", "<(1.5,-2),Infinity>"]),
    case("inet", &["0.0.0.0/0", "192.168.0.1/24", "::ffff:1.2.3.4", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
    case("cidr", &["10.0.0.0/8", "::/0", "2001:db8::/32"]),
    case("macaddr", &["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]),
    case("macaddr8", &["00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"]),
    case("tsvector", &["", "'a':1A,2B 'it''s' 'sp ace':16383"]),
    case("tsquery", &["", "'a':*AB & !( 'b' | 'c d' ) <3> 'e'"]),
    case("int4range", &["empty", "(,)", "[-2147483648,2147483647)"]),
    case("int8range", &["empty", "[1,)"]),
    case("numrange", &["empty", "(-Infinity,NaN]", "[1.10,1.1]"]),
    case("daterange", &["empty", "[-infinity,infinity)", "[4713-01-01 BC,)"]),
    case("tsrange", &["empty", "(\"0044-03-15 12:00:00 BC\",infinity]"]),
    case("tstzrange", &["empty", "[2024-01-01 00:00:00+00,)"]),
    case("int4multirange", &["{}", "{[1,2),[5,)}"]),
    case("int8multirange", &["{}", "{(,)}"]),
    case("nummultirange", &["{}", "{(1.10,2],[3.0,NaN]}"]),
    case("datemultirange", &["{}", "{[2000-01-01,2000-01-02),[2001-01-01,)}"]),
    case("tsmultirange", &["{}", "{[\"2000-01-01 00:00:00\",infinity)}"]),
    case("tstzmultirange", &["{}", "{[\"2000-01-01 00:00:00+00\",)}"]),
    case("oid", &["0", "4294967295"]),
    case("oidvector", &["", "0 4294967295"]),
    case("int2vector", &["", "-32768 32767"]),
    case("xid", &["0", "4294967295"]),
    case("xid8", &["0", "18446744073709551615"]),
    case("cid", &["0", "4294967295"]),
    case("tid", &["(0,0)", "(4294967295,65535)"]),
    case("pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF"]),
    case("pg_snapshot", &["10:20:10,14,15", "1:1:"]),
    case("txid_snapshot", &["10:20:10,14,15"]),
    case("refcursor", &["", "cursor \"x\""]),
    case("aclitem", &["=r/postgres"]),
    case("regclass", &["pg_class", "-"]),
    case("regcollation", &["\"C\""]),
    case("regconfig", &["simple"]),
    case("regdictionary", &["simple"]),
    case("regnamespace", &["pg_catalog"]),
    case("regoper", &["0", "pg_catalog.||/"]),
    case("regoperator", &["pg_catalog.+(integer,integer)"]),
    case("regproc", &["now", "-"]),
    case("regprocedure", &["now()", "-"]),
    case("regrole", &["postgres", "-"]),
    case("regtype", &["int4", "timestamp with time zone", "int4[]"]),
    // Of our own.
    case("mood", &["sad", "it's \"ok\", {really}"]),
    case("posint", &["1", "2147483647"]),
    case("label", &["", "ab"]),
    case("pair", &["(,)", "(1,\"a,\\\"b\\\\ (x)\")", "(-1,\"\")"]),
    case("nested", &["(\"(1,x)\",\"{sad}\",\"{{1,2},{3,4}}\")", "(,{},)"]),
    case("floatrange", &["empty", "[-0,Infinity]"]),
    case("floatmultirange", &["{[1,2),[3,4]}"]),
];

/// Types of our own, made at both ends.
pub const TYPES: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'it''s "ok", {really}');
    CREATE DOMAIN posint AS int CHECK (VALUE > 0);
    CREATE DOMAIN label AS varchar(2);
    CREATE TYPE pair AS (n int, s text);
    CREATE TYPE nested AS (p pair, m mood[], i int[]);
    CREATE TYPE floatrange AS RANGE (subtype = float8, multirange_type_name = floatmultirange);
"#;

/// An array of these is written by hand: to ARRAY[…] they are arrays themselves.
const ARRAYS_THEMSELVES: [&str; 2] = ["int2vector", "oidvector"];

pub fn has_array(case: &Case) -> bool {
    !ARRAYS_THEMSELVES.contains(&case.type_name)
}

/// The cases that a server has, each with its number, by which its columns are named.
pub type Cases = Vec<(usize, &'static Case)>;

pub async fn cases(database: &Database) -> Cases {
    let major = database.major().await;
    CASES.iter().enumerate().filter(|(_, case)| case.since <= major).collect()
}

/// Returns the columns of the table, without its key.
pub fn columns(cases: &Cases) -> String {
    let mut ddl = String::new();
    for (index, case) in cases {
        write!(ddl, ", c{index} {}", case.type_name).unwrap();
        if has_array(case) {
            write!(ddl, ", a{index} {}[]", case.type_name).unwrap();
        }
    }
    ddl
}

/// Returns statements that fill the table `made` with one row of NULLs and one for each of the values that a type has.
pub fn rows(cases: &Cases) -> String {
    let mut sql = "INSERT INTO made (id) VALUES (0);".to_owned();
    let most = cases.iter().map(|(_, case)| case.values.len()).max().unwrap();
    for row in 0..most {
        let (mut names, mut values) = (String::new(), String::new());
        for (index, case) in cases {
            let Some(value) = case.values.get(row) else { continue };
            let literal = format!("E'{}'::{}", value.replace('\\', "\\\\").replace('\'', "\\'"), case.type_name);
            write!(names, ", c{index}").unwrap();
            write!(values, ", {literal}").unwrap();
            if has_array(case) {
                let array = match row % 3 {
                    0 => format!("ARRAY[[{literal}, NULL], [NULL, {literal}]]"),
                    1 => "'{}'".to_owned(),
                    _ => format!("array_fill({literal}, ARRAY[2], ARRAY[-3])"),
                };
                write!(names, ", a{index}").unwrap();
                write!(values, ", {array}::{}[]", case.type_name).unwrap();
            }
        }
        write!(sql, "INSERT INTO made (id{names}) VALUES ({}{values});", row + 1).unwrap();
    }
    sql
}

/// Returns a query for every value of the table as its output function prints it.
pub fn printed(cases: &Cases, table: &str) -> String {
    let mut values = Vec::new();
    for (index, case) in cases {
        let value = |column: String| {
            let of = case.type_name;
            format!("('{column} {of}', CASE WHEN num_nonnulls({column}) = 1 THEN format('%s', {column}) END)")
        };
        values.push(value(format!("c{index}")));
        if has_array(case) {
            values.push(value(format!("a{index}")));
        }
    }
    format!("SELECT id, v.name, v.value FROM {table}, LATERAL (VALUES {}) AS v(name, value)", values.join(", "))
}
