"""Reads a lake in a bucket without our code and compares it with what was sent.

    judge.py http://HOST:PORT/BUCKET PREFIX SENT.csv FOLDER

SENT.csv has lines `sender,from,upto,accepted`: records `eni-SENDER-N` with N in from..upto, excluding upto; accepted is 1
where the sender was told that they are kept, and 0 where it was told nothing. Prints one JSON object.
"""
import concurrent.futures
import json
import os
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as xml

import duckdb


# The emulator wants to see who asks and does not check it.
WHO = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def get(url):
    return urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": WHO})).read()


def keys(bucket, prefix):
    token = None
    while True:
        query = {"list-type": "2", "prefix": prefix}
        if token:
            query["continuation-token"] = token
        page = xml.fromstring(get(bucket + "?" + urllib.parse.urlencode(query)))
        space = page.tag[: page.tag.index("}") + 1]
        yield from (found.text for found in page.iter(space + "Key"))
        token = page.findtext(space + "NextContinuationToken")
        if not token:
            return


def fetch(bucket, prefix, folder):
    """Data files below a prefix, by their paths alone. A file once fetched never changes."""
    os.makedirs(folder, exist_ok=True)
    wanted = {key.replace("/", "~"): key for key in keys(bucket, prefix) if key.endswith(".parquet")}
    have = set(os.listdir(folder))
    for gone in have - set(wanted):
        os.remove(os.path.join(folder, gone))

    def one(name):
        body = get(bucket + "/" + urllib.parse.quote(wanted[name]))
        with open(os.path.join(folder, name), "wb") as file:
            file.write(body)

    with concurrent.futures.ThreadPoolExecutor(8) as several:
        list(several.map(one, set(wanted) - have))
    return os.path.join(folder, "*.parquet") if wanted else None


def main(bucket, root, sent, folder):
    db = duckdb.connect()
    db.execute("create table have (sender varchar, n bigint, times bigint, files varchar[])")
    events = fetch(bucket, root + "/aws_vpcflow/", os.path.join(folder, "events"))
    if events:
        db.execute(
            """insert into have select split_part(interface_id, '-', 2), split_part(interface_id, '-', 3)::bigint, count(*),
               list(distinct parse_filename(filename)) from read_parquet(?, union_by_name = true, filename = true) group by all""",
            [events],
        )
    columns = "{'sender': 'varchar', 'low': 'bigint', 'high': 'bigint', 'accepted': 'bigint'}"
    db.execute(f"create table sent as select * from read_csv(?, header = false, columns = {columns})", [sent])
    db.execute("create table numbers as select sender, unnest(range(low, high)) as n, accepted from sent")
    alerts = fetch(bucket, root + "/alerts/", os.path.join(folder, "alerts"))
    one = lambda sql, *values: db.execute(sql, list(values)).fetchone()
    raised = one("select count(*), count(distinct alert_id) from read_parquet(?, union_by_name = true)", alerts) if alerts else (0, 0)
    lost = "from numbers left join have using (sender, n) where accepted = 1 and times is null"
    print(json.dumps({
        "accepted": one("select count(*) from numbers where accepted = 1")[0],
        "stored": one("select coalesce(sum(times), 0)::bigint from have")[0],
        "lost": one("select count(*) " + lost)[0],
        "first_lost": db.execute("select sender, n " + lost + " order by all limit 5").fetchall(),
        "doubled": one("select count(*) from have where times > 1")[0],
        "first_doubled": db.execute("select sender, n, files from have where times > 1 order by all limit 5").fetchall(),
        "never_sent": one("select count(*) from have anti join numbers using (sender, n)")[0],
        "watched": one("select count(*) from have where n % 200 = 0")[0],
        "alerts": raised[0],
        "different_alerts": raised[1],
    }))


main(*sys.argv[1:])
