"""Downloads from servers that do everything wrong, over real sockets."""

import gzip
import hashlib
import http.client
import http.server
import json
import multiprocessing
import os
import re
import signal
import threading
import time

import pytest

from mattekit.checkpoints.download import Limits, demand_whole, download

CONTENT = bytes(range(256)) * 512  # 128 KiB
CUT = 50_000
QUICK = Limits(silence_s=5, window_s=0.3, least_rate=1000)


def whole(request, content=CONTENT, etag='"one"', **headers):
    """Serve as a good server does, ranges and If-Range included."""
    start, status = 0, 200
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
    if asked and request.headers.get("If-Range") == etag:
        start, status = int(asked[1]), 206
        if start >= len(content):
            reply(request, 416)
            return
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    reply(request, status, content[start:], **{"ETag": etag, "Content-Length": str(len(content) - start)} | headers)


def reply(request, status, body=b"", **headers):
    request.send_response(status)
    for name, value in headers.items():
        if value is not None:
            request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def cut(request, etag='"one"', content=CONTENT):
    reply(request, 200, content[:CUT], ETag=etag, Content_Length=str(len(content)))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append({name: self.headers.get(name) for name in ("Range", "If-Range", "Accept-Encoding")})
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        answer(self)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        pass  # the other side hung up, as it should


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers, server.asked = [whole], []
        server.address = f"http://127.0.0.1:{server.server_port}/weights.bin"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "hub" / "weights.bin"


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


DONE = ["weights.bin", "weights.bin.json"]


def test_downloads_once(server, target, capsys):
    assert download(server.address, target) == target
    assert target.read_bytes() == CONTENT
    assert "100%" in capsys.readouterr().err
    assert download(server.address, target) == target
    assert server.asked == [{"Range": None, "If-Range": None, "Accept-Encoding": "identity"}]
    assert names(target) == DONE
    remembered = json.loads((target.parent / "weights.bin.json").read_text())
    assert remembered == {"length": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}


def test_downloads_over_https(server, target, monkeypatch):
    """Without its encryption, which the connection does: the rest is what is tried here."""
    monkeypatch.setattr(http.client, "HTTPSConnection", http.client.HTTPConnection)
    download(server.address.replace("http:", "https:"), target)
    assert target.read_bytes() == CONTENT


def cut_first(server, target, **options):
    server.answers[:0] = [cut]
    with pytest.raises(RuntimeError, match=f"got {CUT} of {len(CONTENT)} bytes. The next call goes on from what has"):
        download(server.address, target, **options)
    assert names(target) == ["weights.bin.json", "weights.bin.part"]


def test_goes_on_where_the_connection_was_cut(server, target):
    cut_first(server, target)
    assert download(server.address, target).read_bytes() == CONTENT
    assert server.asked[1]["Range"] == f"bytes={CUT}-"
    assert server.asked[1]["If-Range"] == '"one"'
    assert names(target) == DONE


OTHER = CONTENT[::-1]


@pytest.mark.parametrize(
    "answer",
    [
        lambda r: whole(r, OTHER, '"two"'),  # another ETag, so that the server sends all of it
        lambda r: reply(r, 200, OTHER, Content_Length=str(len(OTHER))),  # it knows no ranges
        lambda r: reply(r, 206, OTHER[CUT:], ETag='"one"'),  # no Content-Range
        lambda r: reply(r, 206, OTHER, ETag='"one"', Content_Range=f"bytes 0-{len(OTHER) - 1}/{len(OTHER)}"),
        lambda r: reply(r, 206, OTHER[CUT:], ETag='"2"', Content_Range=f"bytes {CUT}-{len(OTHER) - 1}/{len(OTHER)}"),
        lambda r: reply(r, 206, OTHER[CUT:99_999], Content_Range=f"bytes {CUT}-99998/{len(OTHER)}"),
        lambda r: reply(r, 416),
    ],
    ids=["changed", "no ranges", "no Content-Range", "another range", "another ETag", "not to the end", "416"],
)
def test_a_file_that_cannot_be_gone_on_with_is_started_anew(server, target, answer):
    cut_first(server, target)
    server.answers[:] = [answer, lambda r: whole(r, OTHER, '"two"')]
    assert download(server.address, target).read_bytes() == OTHER
    assert names(target) == DONE


@pytest.mark.parametrize("etag", [None, 'W/"weak"', "bare", '"a"b"'])
def test_nothing_is_gone_on_with_without_a_strong_etag(server, target, etag):
    server.answers[:] = [lambda r: cut(r, etag), lambda r: whole(r, OTHER, etag)]
    with pytest.raises(RuntimeError, match="got 50000"):
        download(server.address, target)
    assert download(server.address, target).read_bytes() == OTHER
    assert server.asked[1]["Range"] is None


def test_a_new_etag_is_never_remembered_beside_old_bytes(server, target, monkeypatch):
    """A process that is killed between the two must leave no mixture for the next."""
    cut_first(server, target)
    server.answers[:] = [lambda r: whole(r, OTHER, '"two"')]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mattekit.checkpoints.download._write", killed)
        with pytest.raises(KeyboardInterrupt):
            download(server.address, target)
    assert download(server.address, target).read_bytes() == OTHER


REFUSED = {
    "a login page": (
        lambda r: reply(r, 200, b"<html>Log in</html>", Content_Type="text/html; charset=utf-8"),
        "is a web",
    ),
    "nothing": (lambda r: reply(r, 200, Content_Length="0"), "has 0 bytes, not the"),
    "nothing without Content-Length": (lambda r: reply(r, 200), "is empty"),
    "204": (lambda r: reply(r, 204), "is an answer of status 204"),
    "gzip": (lambda r: reply(r, 200, gzip.compress(CONTENT), Content_Encoding="gzip"), "is encoded, 'gzip'"),
    "206 unasked": (
        lambda r: reply(r, 206, CONTENT[9:], Content_Range=f"bytes 9-{len(CONTENT) - 1}/{len(CONTENT)}"),
        "is an answer of status 206",
    ),
    "shorter": (lambda r: whole(r, CONTENT[:-1]), f"has {len(CONTENT) - 1} bytes, not the {len(CONTENT)} that it must"),
    "longer": (lambda r: whole(r, CONTENT + b"x"), f"has {len(CONTENT) + 1} bytes, not the"),
    "cut without Content-Length": (lambda r: reply(r, 200, CONTENT[:CUT]), f"has {CUT} bytes, not the {len(CONTENT)}"),
    "longer without Content-Length": (lambda r: reply(r, 200, CONTENT + b"x"), f"has {len(CONTENT) + 1} bytes, not"),
    "others": (lambda r: whole(r, OTHER), "has .* as its sha256, not the .* that it must have"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_the_file_never_takes_its_name(server, target, name):
    answer, message = REFUSED[name]
    server.answers[:] = [answer]
    expected = {"length": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    with pytest.raises(RuntimeError, match=f"what comes from there {message}.* Nothing of it was kept"):
        download(server.address, target, **expected)
    assert not {"weights.bin", "weights.bin.part", "weights.bin.lock"} & set(names(target))
    server.answers[:] = [whole]
    assert download(server.address, target, **expected).read_bytes() == CONTENT


def test_a_page_that_comes_between_spoils_nothing(server, target):
    cut_first(server, target)
    server.answers[:] = [REFUSED["a login page"][0], whole]
    with pytest.raises(RuntimeError, match="is a web page"):
        download(server.address, target)
    assert download(server.address, target).read_bytes() == CONTENT
    assert server.asked[-1]["Range"] == f"bytes={CUT}-"


def test_a_file_that_cannot_be_read_is_not_kept(server, target):
    def check(path):
        assert path.read_bytes() == CONTENT
        raise RuntimeError("it is no checkpoint")

    with pytest.raises(RuntimeError, match=r"what comes from there cannot be read: it is no checkpoint. Nothing"):
        download(server.address, target, check=check)
    assert names(target) == ["weights.bin.json"]
    assert download(server.address, target).read_bytes() == CONTENT


def test_an_endless_file_ends(server, target):
    server.answers[:] = [lambda r: reply(r, 200, CONTENT)]
    with pytest.raises(RuntimeError, match="is longer than 1000 bytes"):
        download(server.address, target, limits=Limits(largest=1000))


def drip(request, pause=0.02):
    reply(request, 200, Content_Length=str(len(CONTENT)))
    while True:  # until the other side hangs up
        request.wfile.write(b"x")
        time.sleep(pause)


def drip_head(request):
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        request.wfile.write(b"X")
        time.sleep(0.02)


def drip_elsewhere(request):
    reply(request, 302, Location="/elsewhere")
    while True:
        request.wfile.write(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (drip, "it comes at less than 1000 bytes a second"),
        (drip_head, r"no answer within 0.3 s"),
        (drip_elsewhere, r"no answer within 0.3 s"),
    ],
)
def test_a_server_that_drips_ends(server, target, answer, message):
    server.answers[:] = [answer]
    with pytest.raises(RuntimeError, match=message):
        download(server.address, target, limits=QUICK)
    assert not target.exists()


def test_a_silent_server_ends(server, target):
    server.answers[:] = [lambda _: time.sleep(2)]
    with pytest.raises(RuntimeError, match="timed out"):
        download(server.address, target, limits=Limits(silence_s=0.1))


def test_a_missing_file_leaves_nothing(server, target):
    server.answers[:] = [lambda r: reply(r, 404)]
    with pytest.raises(RuntimeError, match=r"cannot download weights.bin from http.*: HTTP Error 404"):
        download(server.address, target)
    assert not names(target)


def test_offline_says_what_to_do(server, target):
    server.shutdown()
    server.server_close()
    with pytest.raises(
        RuntimeError, match="Without a network, fetch that address elsewhere and put the file at"
    ) as error:
        download(server.address, target)
    assert str(target) in str(error.value)
    assert "or pass its path as weights" in str(error.value)


def test_a_file_put_there_by_hand_is_taken(server, target):
    target.parent.mkdir()
    target.write_bytes(OTHER)
    assert download(server.address, target) == target
    assert server.asked == []


def test_the_length_is_checked_at_each_use(server, target):
    download(server.address, target)
    target.write_bytes(CONTENT[:-1])
    with pytest.raises(
        RuntimeError, match=f"has {len(CONTENT) - 1} bytes, and {len(CONTENT)} were downloaded: delete .*weig"
    ):
        download(server.address, target)
    target.unlink()
    assert download(server.address, target).read_bytes() == CONTENT


def test_the_hash_tells_damage(server, target):
    download(server.address, target)
    demand_whole(target)
    target.write_bytes(OTHER)
    with pytest.raises(RuntimeError, match=r"is not what was downloaded: delete .*weights.bin and try again"):
        demand_whole(target)


@pytest.mark.parametrize("content", [OTHER, CONTENT + b"x"])
def test_what_came_first_is_what_comes_again(server, target, content):
    download(server.address, target)
    target.unlink()
    server.answers[:] = [lambda r: whole(r, content, '"two"')]
    with pytest.raises(
        RuntimeError, match=r"that the first download brought .*, delete .*weights.bin.json and try again"
    ):
        download(server.address, target)
    assert names(target) == ["weights.bin.json"]
    (target.parent / "weights.bin.json").unlink()
    assert download(server.address, target).read_bytes() == content


@pytest.mark.parametrize("text", ["", "[1]", '{"length": "9"}', '{"other": 1}', "[" * 100_000])
def test_a_damaged_memory_says_what_to_do(server, target, text):
    target.parent.mkdir()
    (target.parent / "weights.bin.json").write_text(text)
    with pytest.raises(RuntimeError, match=r"weights.bin.json is damaged: delete .*weights.bin.json and try again"):
        download(server.address, target)


def test_many_at_once_share_one_download(server, target):
    """With cut connections too: each goes on where the one before was cut, and none writes into another's bytes."""
    server.answers[:] = [cut, whole]
    errors = []

    def use():
        try:
            assert download(server.address, target).read_bytes() == CONTENT
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1  # whose connection was cut
    assert len(server.asked) == 2
    assert names(target) == DONE


def slow(request):
    reply(request, 200, CONTENT[:CUT], ETag='"one"', Content_Length=str(len(CONTENT)))
    request.server.started.set()
    time.sleep(20)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="it needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_process_that_is_killed_keeps_nobody_waiting(server, target):
    server.answers[:] = [slow, whole]
    server.started = threading.Event()
    first = multiprocessing.get_context("fork").Process(target=download, args=(server.address, target))
    first.start()
    assert server.started.wait(30)
    while not (target.parent / "weights.bin.part").exists():
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert download(server.address, target).read_bytes() == CONTENT
    assert names(target) == DONE
