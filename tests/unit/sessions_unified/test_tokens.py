import base64, json, pytest
from django.test import Client
pytestmark = pytest.mark.django_db(transaction=True)

def show(tag, r):
    print(tag, r.status_code, r.headers.get("Content-Type"), r.headers.get("WWW-Authenticate"), r.content[:300])

def test_probe_old():
    c = Client(raise_request_exception=False)
    body = {"email": "ana@example.org", "products": [{"id": "SOIL", "quantity": 2}]}
    r = c.post("/api/session/create", body, content_type="application/json"); show("create", r)
    sid = r.json()["id"]; url=f"/api/session/{sid}"
    show("noauth", Client().get(url))
    show("badbearer", Client().get(url, headers={"Authorization": "Bearer x"}))
    show("badkey", Client().get(url, headers={"Authorization": "Api-Key x.y"}))
    deep = base64.urlsafe_b64encode(b"["*1500).decode().rstrip("=") + ".a.b.c.d"
    show("deep", Client(raise_request_exception=False).get(url, headers={"Authorization": "Bearer "+deep}))
    show("origin [", c.post(url+"/extend", headers={"Origin": "http://["}))
    show("origin evil", c.post(url+"/extend", headers={"Origin": "http://evil"}))
    for meta in ({"a": 1e308}, {"a": 1e22}, {"a": 2**64-1}, {"a": 2**64}, {"a": -2**63}, {"a": 5e-324},{"a":-0.0}, {"a": 10**400}, {"a": 0.1}):
        show(f"meta {str(meta)[:40]}", c.patch(url, meta and {"metadata": meta}, content_type="application/json"))
        show("  get", c.get(url))
    show("list If-Match", c.patch(url, {}, content_type="application/json", headers={"If-Match": '"1", "2","3","4","5","6","7","8"'}))
    show("accept html", c.get(url, headers={"Accept": "text/html"}))
    show("accept problem", c.get(url, headers={"Accept": "application/problem+json"}))
    show("accept garbage", c.get(url, headers={"Accept": "a/b/c;;;=,"}))
    show("format", c.get(url+"?format=xml"))
    show("ct garbage", c.patch(url, "{}", content_type="application/json; charset=\x22x" + ";a=b"*3000))
    show("ct none", c.patch(url, "{}", content_type=""))
    show("idn", c.patch(url, {"email": "ana@bücher.example"}, content_type="application/json"))
    show("idn local", c.patch(url, {"email": "jürgen@bücher.example"}, content_type="application/json"))
    show("405", c.put(url, {}, content_type="application/json")); print(c.put(url).headers)
    show("unknown api", c.get("/api/nope"))
    show("nonfield", c.patch(url, {"non_field_errors": 1}, content_type="application/json"))
    show("enc", c.patch(url, {"a\ud800": 1} and '{"a\\ud800": 1}', content_type="application/json"))
    show("nan", c.patch(url, '{"metadata": {"a": NaN}}', content_type="application/json"))
    import time
    keys = ",".join(f'"{i:x}":0' for i in range(7500))
    t=time.monotonic(); show("dups", c.patch(url, '{%s,"1d4b":0}' % keys, content_type="application/json")); print(time.monotonic()-t)
    show("form", c.post(url+"/extend", "a=b", content_type="application/x-www-form-urlencoded"))
    show("form empty", c.post(url+"/extend", "", content_type="application/x-www-form-urlencoded"))
    show("create-403", Client().post("/api/session/create", body, content_type="application/json", headers={"Origin":"http://evil"}))
    assert 0

def test_probe2():
    c = Client()
    r = c.post("/api/session/create", {"email": "ana@example.org", "products": [{"id": "SOIL", "quantity": 2}]}, content_type="application/json")
    url="/api/session/"+r.json()["id"]
    c.patch(url, {"metadata": {"a": 2**64}}, content_type="application/json")
