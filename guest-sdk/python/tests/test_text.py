"""Postgres's texts, read on demand."""

import datetime
import decimal
import unittest
from collections.abc import Callable

from pelton_sdk import (
    Array,
    Date,
    Decimal,
    Infinity,
    Interval,
    Json,
    Parts,
    Reject,
    Time,
    Timestamp,
    Timestamptz,
    Timetz,
    Uuid,
)


class TextTest(unittest.TestCase):
    def refused(self, read: Callable[[], object], code: str = "unreadable") -> None:
        with self.assertRaises(Reject) as raised:
            read()
        self.assertEqual(raised.exception.code, code)

    def test_numerics_are_counted_exactly(self) -> None:
        cases = [("12.5", 1250), ("-0.01", -1), ("0", 0), ("7", 700), (".5", 50), ("1.500", 150), ("-3.", -300)]
        for text, units in cases:
            self.assertEqual(Decimal(text).scaled(2), units, text)
        for units, text in [(1250, "12.50"), (-1, "-0.01"), (0, "0.00"), (-12345, "-123.45")]:
            self.assertEqual(Decimal.from_scaled(units, 2).text, text)
        self.assertEqual(Decimal.from_scaled(-5, 0).text, "-5")
        for text in ["", ".", "1e5", "--1", "1.2.3", "１"]:
            self.refused(lambda: Decimal(text).scaled(2))
        self.refused(lambda: Decimal("1.005").scaled(2), "scale")
        for text in ["NaN", "Infinity", "-Infinity"]:
            self.refused(lambda: Decimal(text).scaled(2), "not-finite")
        # What the other languages' SDKs can hold, and not one more.
        self.assertEqual(Decimal("-1701411834604692317316873037158841057.27").scaled(2), -(2**127 - 1))
        for text in ["1701411834604692317316873037158841057.28", "9" * 40, "1" + "0" * 5000]:
            self.refused(lambda: Decimal(text).scaled(2), "too-large")

    def test_a_numeric_is_a_decimal_without_loss(self) -> None:
        text = "-123456789012345678901234567890123456789012345.000010"
        self.assertEqual(Decimal(text).decimal(), decimal.Decimal(text))
        self.assertEqual(Decimal.of(Decimal(text).decimal()).text, text)
        self.assertEqual(Decimal.of(decimal.Decimal("1E+3")).text, "1000")
        self.assertTrue(Decimal("NaN").decimal().is_nan())
        self.refused(lambda: Decimal("a").decimal())

    def test_dates_are_days_since_1970(self) -> None:
        cases = [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("4714-11-24 BC", -2_440_588),
            ("5874897-12-31", 2_145_042_905),
        ]
        for text, days in cases:
            self.assertEqual(Date(text).unix_days(), days, text)
        self.assertIs(Date("-infinity").unix_days(), Infinity.MINUS)
        for text in ["", "2000", "2000-13-01", "x-01-01", "2000-01-", "2000-01-01 12:00:00"]:
            self.refused(lambda: Date(text).unix_days())
        self.assertEqual(Date("2000-02-29").date(), datetime.date(2000, 2, 29))
        for text in ["infinity", "0001-12-31 BC", "10000-01-01", "5874897-12-31"]:
            self.refused(lambda: Date(text).date(), "out-of-range")

    def test_times_are_microseconds_since_midnight(self) -> None:
        for text, micros in [("00:00:00", 0), ("23:59:59.999999", 86_399_999_999), ("24:00:00", 86_400_000_000)]:
            self.assertEqual(Time(text).micros(), micros, text)
        for text in ["", "12", "12:00", "-12:00:00", "12:00:00.", "12:00:00+01", "infinity"]:
            self.refused(lambda: Time(text).micros())
        self.assertEqual((Timetz("12:00:00.5-05:30").micros(), Timetz("12:00:00-05:30").offset_seconds()), (43_200_500_000, -19_800))
        self.refused(lambda: Timetz("12:00:00").micros())

    def test_timestamps_are_microseconds_since_1970(self) -> None:
        self.assertEqual(Timestamp("1970-01-01 00:00:01.5").micros(), 1_500_000)
        self.assertEqual(Timestamp("1970-01-01 24:00:00").micros(), 86_400_000_000)
        self.assertIs(Timestamp("infinity").micros(), Infinity.PLUS)
        cases = [
            ("1970-01-01 00:00:00+00", 0),
            ("1970-01-01 01:00:00+01", 0),
            ("1969-12-31 18:30:00.000001-05:30", 1),
            ("2024-07-01 12:34:56.789012+00", 1_719_837_296_789_012),
            ("0001-12-31 23:59:59+00 BC", -62_135_596_801_000_000),
            ("294247-01-10 04:00:54.775807+00", (1 << 63) - 1),
        ]
        for text, micros in cases:
            self.assertEqual(Timestamptz(text).unix_micros(), micros, text)
        for text in ["", "1970-01-01", "1970-01-01 00:00:00", "1970-01-01 0:0+00", "1970-01-01 00:00:00.1234567+00", "ä +"]:
            self.refused(lambda: Timestamptz(text).unix_micros())
        # Of more microseconds than 64 bits hold.
        self.refused(lambda: Timestamp("294247-01-10 04:00:54.775808").micros())
        self.refused(lambda: Timestamptz("294247-01-10 04:00:54.775808+00").unix_micros())
        self.refused(lambda: Timestamptz("294247-01-10 04:00:54-01").unix_micros())
        moment = datetime.datetime(2024, 7, 1, 12, 34, 56, 789012)
        self.assertEqual(Timestamp("2024-07-01 12:34:56.789012").datetime(), moment)
        self.assertEqual(Timestamptz("2024-07-01 12:34:56.789012+00").datetime(), moment.replace(tzinfo=datetime.timezone.utc))
        for text in ["infinity", "0001-12-31 23:59:59+00 BC", "10000-01-01 00:00:00+00", "294276-12-31 23:59:59+00"]:
            self.refused(lambda: Timestamptz(text).datetime(), "out-of-range")

    def test_an_interval_is_months_days_and_microseconds(self) -> None:
        cases = [
            ("00:00:00", (0, 0, 0)),
            ("1 year 2 mons 3 days 04:05:06.7", (14, 3, 14_706_700_000)),
            ("1 mon", (1, 0, 0)),
            ("-1 years -2 mons +3 days -04:05:06", (-14, 3, -14_706_000_000)),
            ("-1 days +00:00:00.000001", (0, -1, 1)),
            ("178000000 years", (2_136_000_000, 0, 0)),
            ("2562047788:00:54.775807", (0, 0, 9_223_372_036_854_775_807)),
        ]
        for text, (months, days, micros) in cases:
            self.assertEqual(Interval(text).parts(), Parts(months, days, micros), text)
        self.assertIs(Interval("-infinity").parts(), Infinity.MINUS)
        for text in ["", "1", "1 week", "1 day ", "1 day  2 mons", "1:2", "P1Y", "00:00:00 1 day", "1 day 1:0:0.1234567"]:
            self.refused(lambda: Interval(text).parts())

    def test_arrays_are_read_as_postgres_prints_them(self) -> None:
        cases: list[tuple[str, list[str | None]]] = [
            ("{}", []),
            ("{1,2}", ["1", "2"]),
            (r'{a,NULL,"NULL","","a,b","c\"d","e\\f"}', ["a", None, "NULL", "", "a,b", 'c"d', "e\\f"]),
            ("[0:1]={x,y}", ["x", "y"]),
        ]
        for text, elements in cases:
            self.assertEqual(Array(text).elements(), elements, text)
        for text in ["", "{", "}", "{a", "{{1,2},{3,4}}", "{a,}", '{"a"b}', '{"a}', "[0:1]{a}"]:
            self.refused(lambda: Array(text).elements())
        self.assertEqual(Array("{1,NULL}").elements(int), [1, None])
        self.refused(lambda: Array("{a}").elements(int))
        made = ["a", None, "NULL", "", 'q"\\,{}']
        self.assertEqual(Array.of(made).elements(), made)
        self.assertEqual(Array.of(["b", None, "a"]).text, '{"b",NULL,"a"}')

    def test_a_uuid_is_its_bits(self) -> None:
        uuid = Uuid("00000000-0000-0001-0000-0000000000ff")
        self.assertEqual((uuid.to_int(), uuid.uuid().int), ((1 << 64) | 255, (1 << 64) | 255))
        for text in ["", "xyz", "+0000000000000010000000000000000", "00000000-0000-0001-0000-0000000000ff0"]:
            self.refused(lambda: Uuid(text).to_int())

    def test_json_keeps_every_digit_of_every_number(self) -> None:
        text = '{"int":123456789012345678901234567890,"float":0.1000000000000000055511151231257827,"huge":1E+400,"list":[true,null,"ä"]}'
        read = Json(text).parse()
        self.assertEqual(read["int"], 123456789012345678901234567890)
        self.assertEqual(read["float"], decimal.Decimal("0.1000000000000000055511151231257827"))
        self.assertEqual(Json.of(read).text, text)
        self.assertEqual(Json("1" * 5000).parse() % 10, 1)
        for text in ["", "{", "NaN", "{'a': 1}"]:
            self.refused(lambda: Json(text).parse())
        self.refused(lambda: Json("[" * 100_000 + "]" * 100_000).parse(), "too-deep")

    def test_texts_do_not_add_up_or_sort(self) -> None:
        with self.assertRaises(TypeError):
            Decimal("1") + Decimal("2")  # type: ignore[operator]
        with self.assertRaises(TypeError):
            sorted([Decimal("10"), Decimal("9")])  # type: ignore[type-var]
        self.assertEqual(f"{Decimal('1.50')}", "1.50")
        self.assertNotEqual(Decimal("1"), Date("1"))


if __name__ == "__main__":
    unittest.main()
