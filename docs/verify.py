#!/usr/bin/env python3
"""An independent verifier of Steno recordings and event logs, written from docs/format.md. Needs stock zstd and ssh-keygen.

usage: verify.py [--keep DIR] RECORDING.cast.zst RECORDING_CA.pub [LOG.events.zst]
       verify.py BUNDLE RECORDING_CA.pub [USER_CA.pub]
Exit codes: 0 good, 10 altered, 11 truncated, 12 reordered, 13 missing part, 14 unsigned, 65 no recording.
It has no terminal: of keyframes it checks where they stand, not what they show.
"""
import base64, collections, datetime, hashlib, io, json, os, re, struct, subprocess, sys, tempfile

LIMIT = 4 << 20  # of a skippable frame, and of what a data frame decompresses to
KINDS = {0xFD2FB528: "D", 0x184D2A5B: "P", 0x184D2A5C: "I", 0x184D2A5E: "S"}  # D data, P proof, I index, S seek table; C certificate
HEAD = re.compile(rb'\[([0-9]{1,10}(?:\.[0-9]{1,3})?),"([A-Za-z]{1,16})",')
KEYFRAME = re.compile(r'\[0,"k",\{"cols":([1-9][0-9]{0,3}),"rows":([1-9][0-9]{0,3}),"screen":'
                      r'"(?:[^"\\\0-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-f]{4}))*"(?:,"anchor":true)?\}\]\n')
KERNEL = re.compile(rb'\[[\d.]+,"s",\{"fact":"kernel",[^\n]{0,512}"log":true\}\]\n')
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

Frame = collections.namedtuple("Frame", "kind size content value")  # content: decompressed size


class Bad(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def number(raw):
    return int.from_bytes(raw, "little")


def take(data, at, size):
    if at + size > len(data):
        raise Bad(11, "the file is cut off")
    return data[at:at + size]


def walk(data):
    """docs/format.md, "Layout": the frames up to one that cannot be read, and what is wrong with that one."""
    frames, at = [], 0
    try:
        while at < len(data):
            frames.append(read_frame(data, at))
            at += frames[-1].size
    except Bad as bad:
        return frames, bad
    return frames, None


def read_frame(data, at):
    kind = KINDS.get(number(take(data, at, 4)))
    if kind is None:
        raise Bad(10, f"unknown frame at byte {at}")
    size = number(take(data, at + 4, 4))
    if kind == "D":
        size, content = measure(data, at)
        return Frame("D", size, content, data[at:at + size])
    if size > LIMIT:
        raise Bad(10, f"oversized frame at byte {at}")
    raw = take(data, at + 8, size)
    if kind == "P" and raw[:1] == b"\2" and size > 1:
        return Frame("C", size + 8, 0, raw[1:])
    return Frame(kind, size + 8, 0, read_proof(raw) if kind == "P" else read_table(raw) if kind == "S" else raw)


def measure(data, at):
    """RFC 8878, 3.1.1: the header, then blocks until the last, then the checksum. Length of the frame and of its content."""
    descriptor, window = data[at + 4], data[at + 5]
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    if descriptor & 0x1F != 4 or not (single or flag):
        raise Bad(10, "a data frame without size and checksum, or with a dictionary")
    width, end = (1, 2, 4, 8)[flag], at + (5 if single else 6)
    content = number(take(data, end, width)) + (256 if flag == 1 else 0)
    span = 1 << 10 + (window >> 3)
    if not 0 < content <= LIMIT or not single and span + span // 8 * (window & 7) > 8 << 20:
        raise Bad(10, "a data frame of excessive size, or an empty one")
    end, header = end + width, 0
    while not header & 1:
        header = number(take(data, end, 3))
        if header >> 1 & 3 == 3:
            raise Bad(10, "a reserved zstd block")
        end += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
    return len(take(data, at, end + 4 - at)), content


def read_proof(raw):
    """docs/format.md, "Proof"."""
    tags = raw[140:]
    if len(raw) < 140 or raw[0] != 1 or raw[1] > 2 or number(raw[2:6]) < 1 or number(raw[6:10]) < len(tags):
        raise Bad(10, "unreadable proof")
    checkpoint = {"block": number(raw[6:10]), "bytes": number(raw[10:16]), "at": number(raw[16:22]), "time": number(raw[22:28]),
                  "head": raw[28:60].hex(), "end": ("open", "complete", "interrupted")[raw[1]]}
    return {"part": number(raw[2:6]), "checkpoint": checkpoint, "certificate": raw[60:76], "signature": raw[76:140], "tags": tags}


def read_table(raw):
    if len(raw) != 9 + 8 * number(raw[-9:-5]) or raw[-5:] != b"\0\xb1\xea\x92\x8f":
        raise Bad(10, "unreadable seek table")
    return list(struct.iter_unpack("<II", raw[:-9]))


def read_header(line):
    header = json.loads(line.decode(), parse_constant=lambda name: int(name))
    whole = lambda value, low, high: type(value) in (int, float) and low <= value <= high and value == int(value)
    steno, term = header["steno"], header["term"]
    if header["version"] != 3 or not whole(term["cols"], 1, 1000) or not whole(term["rows"], 1, 1000) or type(steno["format"]) not in (int, float):
        raise ValueError
    if steno["format"] > 1:
        raise Bad(65, f"format {steno['format']} is newer than this verifier")
    if not re.fullmatch("[0-9a-hjkmnp-tv-z]{26}", steno["session"]) or not whole(steno["counter"], 0, 2**53 - 1):
        raise ValueError
    if not re.fullmatch(r"(?!.*\.\.)[a-z0-9][a-z0-9_.-]{0,62}", steno["gateway"]):
        raise ValueError
    if steno.get("stream", "events") != "events":
        raise Bad(65, "a stream that this verifier does not know")
    identity = {"session": steno["session"], "gateway": steno["gateway"], "counter": int(steno["counter"])}
    return identity, steno.get("stream", "recording"), steno.get("tty") is True, (term["cols"], term["rows"])


def decompress(frame):
    done = subprocess.run(["zstd", "-dc"], input=frame, capture_output=True)
    if done.returncode != 0:
        raise Bad(10, "a zstd frame is damaged")
    return done.stdout


class Lines:
    """docs/format.md, "Blocks" and "Chain": the lines of all parts, in order."""

    def __init__(self):
        self.session, self.head, self.n, self.bytes, self.at, self.frame, self.keyframes, self.places = None, b"", 0, 0, 0, 0, 0, []
        self.stream, self.row, self.logged = "recording", (-1, -1), False

    def part(self, proof, frames, last):
        c, self.tags, self.block, self.keyframe = proof["checkpoint"], proof["tags"], bytearray(), None
        self.first = self.n + 1
        if c["block"] - len(self.tags) != self.n or not last and c["end"] != "open" or not frames and c["end"] == "open":
            raise ValueError
        for frame in frames:
            offset = 0
            for line in io.BytesIO(decompress(frame)):
                self.line(line, offset)
                offset += len(line)
            self.frame += 1
        self.close()
        if self.keyframe or not self.session or (c["block"], c["bytes"], c["at"], c["head"]) != (self.n, self.bytes, self.at, self.head.hex()):
            raise ValueError

    def line(self, line, offset):
        before = self.at
        if len(line) > (983040 if self.stream == "events" else 65536) or not line.endswith(b"\n") or not self.session and not line.startswith(b"{"):
            raise ValueError
        if not self.session:
            self.session, self.stream, self.tty, self.size = read_header(line)
            self.head = hashlib.sha256(f"steno-{self.stream}/1\n{self.session['session']}".encode()).digest()
        else:
            interval, code = HEAD.match(line).groups()
            if self.stream == "events":
                self.event(line, code)
            self.logged = self.logged or code == b"s" and len(line) < 1024 and KERNEL.fullmatch(line) is not None
            if code == b"k":
                cols, rows = KEYFRAME.fullmatch(line.decode()).groups()
                if not self.tty or self.keyframe or int(cols) > 1000 or int(rows) > 1000:
                    raise ValueError
                self.keyframe = (self.frame, offset, self.at)
                return
            self.at += round(float(interval) * 1000)
        if not self.block or len(self.block) + len(line) > 65536 or self.at - self.start >= 1000:
            self.close()
            self.n, self.start = self.n + 1, self.at
            if self.keyframe or offset == 0:
                self.places.append((self.keyframe or (self.frame, 0, before)) + (self.n,))
            self.keyframes += self.keyframe is not None
            self.keyframe = None
        elif self.keyframe:
            raise ValueError
        self.block += line

    def event(self, line, code):
        """docs/format.md, "Event log": rows alone, and their places rise."""
        interval, _, row = json.loads(line.decode(), parse_constant=lambda name: int(name))
        place = (row[0], row[1])
        if code != b"e" or type(row) is not list or interval > 1e9 or place <= self.row:
            raise ValueError
        if any(type(n) not in (int, float) or n // 1 != n or not 0 <= n < 2**32 for n in place):
            raise ValueError
        self.row = place

    def close(self):
        if self.block:
            self.head = hashlib.sha256(self.head + struct.pack(">Q", len(self.block)) + self.block).digest()
            self.bytes += len(self.block)
            if self.tags[self.n - self.first:][:1] != self.head[:1]:
                raise Bad(10, f"block {self.n} is not what was signed")
            self.block = bytearray()


def ssh_fields(raw, layout):
    """RFC 4251, 5: s is a string, I and Q are numbers."""
    fields = []
    for kind in layout:
        size = {"I": 4, "Q": 8}.get(kind)
        if size is None:
            size, raw = int.from_bytes(raw[:4], "big") if len(raw) >= 4 else 1 << 32, raw[4:]
        if size > len(raw):
            raise ValueError
        fields.append(raw[:size] if kind == "s" else int.from_bytes(raw[:size], "big"))
        raw = raw[size:]
    if raw:
        raise ValueError
    return fields


def check_signature(signed, signature, certificate, ca_keys, folder):
    """The certificate's own fields here; the signatures by the CA and by the recording key with ssh-keygen."""
    string = lambda raw: struct.pack(">I", len(raw)) + raw
    kind, _, _, _, usage, _, principals, after, before, critical, *_ = ssh_fields(certificate, "sssQIssQQsssss")
    seconds = signed["time"] // 1000
    if kind != b"ssh-ed25519-cert-v01@openssh.com" or usage != 1 or principals != string(signed["gateway"].encode()) or critical:
        raise Bad(14, f"the certificate is not that of the recording key of gateway {signed['gateway']}")
    if not after - 30 <= seconds < before or number(signature[32:]) >= ED25519_ORDER:
        raise Bad(14, "the certificate was not valid when the checkpoint was signed, or the signature is none")
    text = "steno-checkpoint/1\n" + "".join(
        f"{name} {signed[name]}\n" for name in ("session", "gateway", "counter", "block", "bytes", "at", "time", "head", "end"))
    blob = (b"SSHSIG" + struct.pack(">I", 1) + string(certificate) + string(b"steno-checkpoint") + string(b"")
            + string(b"sha512") + string(string(b"ssh-ed25519") + string(signature)))
    files = {"checkpoint.txt": text,
             "checkpoint.sig": f"-----BEGIN SSH SIGNATURE-----\n{base64.encodebytes(blob).decode()}-----END SSH SIGNATURE-----\n",
             "allowed_signers": "".join(f'* cert-authority,namespaces="steno-checkpoint" {key}\n' for key in ca_keys)}
    for name, content in files.items():
        with open(f"{folder}/{name}", "w") as out:
            out.write(content)
    when = datetime.datetime.fromtimestamp(max(seconds, after), datetime.timezone.utc).strftime("%Y%m%d%H%M%SZ")
    done = subprocess.run(["ssh-keygen", "-Y", "verify", "-f", f"{folder}/allowed_signers", "-I", signed["gateway"], "-n", "steno-checkpoint",
                           "-O", f"verify-time={when}", "-s", f"{folder}/checkpoint.sig"], input=text.encode(), capture_output=True)
    if done.returncode != 0:
        raise Bad(14, "the signature does not hold: " + (done.stderr or done.stdout).decode(errors="replace").strip())


def check_layout(frames, proofs, certificates, lines):
    """What no signature covers is recomputed: the order of frames, certificates, seek tables, the index."""
    kinds = "".join(frame.kind for frame in frames)
    if not kinds.endswith("S"):
        raise Bad(11, "the seek table at the end is missing")
    if not re.fullmatch("C+(D*PS?)*D*PI?S", kinds) or "I" in kinds and len(proofs) > 1:
        raise Bad(10, "a frame is in an impossible position")
    if [hashlib.sha256(each).digest()[:16] for each in certificates] != list(dict.fromkeys(proof["certificate"] for proof in proofs)):
        raise Bad(10, "the certificates are not those that the proofs name, in their order")
    since = []
    for frame in frames:
        if frame.kind == "S":
            everything, data = ([(each.size, each.content) for each in since if each.kind in listed] for listed in ("CDPI", "D"))
            if frame.value != everything and (frame.value != data or sum(each.kind == "P" for each in since) != 1):
                raise Bad(10, "a seek table does not list the frames before it")
            since = []
        else:
            since.append(frame)
        if frame.kind == "I":
            entries = [(n, offset, low + (high << 32), block) for n, offset, low, high, block in struct.iter_unpack("<IIIHI", frame.value[4:])]
            wanted = [place for place in lines.places[1:] if place[1] == 0 or place in entries]
            if struct.unpack("<HH", frame.value[:4]) != lines.size or entries != wanted:
                raise ValueError


def verify(data, ca_keys, folder):
    """docs/format.md, "Verifying": the steps in the same order."""
    frames, fault = walk(data)
    parts, unsigned, certificates = [], [], []
    for frame in frames:
        if frame.kind == "P":
            parts.append((frame.value, unsigned))
            unsigned = []
        elif frame.kind in "CD":
            (certificates if frame.kind == "C" else unsigned).append(frame.value)
    if not parts:
        raise Bad(65, str(fault)) if fault and fault.code == 10 and not frames else fault or Bad(11 if certificates else 14 if unsigned else 65, "no checkpoint")
    numbers = [proof["part"] for proof, _ in parts]
    if numbers != list(range(1, len(numbers) + 1)):
        raise Bad(13 if len(set(numbers)) == len(numbers) < max(numbers) else 12, f"parts are {numbers}")
    keys, lines = {hashlib.sha256(each).digest()[:16]: each for each in certificates}, Lines()
    for proof, data_frames in parts:
        within(10, f"part {proof['part']} is not what was signed", lines.part, proof, data_frames, proof is parts[-1][0])
        if proof["certificate"] not in keys:
            raise Bad(14, "the certificate of the recording key is not in the file")
        within(14, "the certificate cannot be read", check_signature, {**lines.session, **proof["checkpoint"]}, proof["signature"], keys[proof["certificate"]], ca_keys, folder)
    closed = proof["checkpoint"]["end"] != "open"
    if fault or unsigned and closed or not closed:
        raise fault or Bad(10 if closed else 11, "lines that nobody signed follow the end" if closed else "nothing closes the recording")
    within(10, "the index does not say where segments begin", check_layout, frames, [proof for proof, _ in parts], certificates, lines)
    return lines


def within(code, text, act, *args):
    """Whatever cannot be read is refused."""
    try:
        return act(*args)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, struct.error):
        raise Bad(code, text) from None


def read_keys(name):
    with open(name) as file:
        return [" ".join(line.split()[:2]) for line in file if line.strip() and not line.startswith("#")]


def check_bundle(bundle, ca_keys, folder):
    """docs/evidence.md, "A bundle": the signature of the manifest, and every file. Answers the manifest and whether a CA that was given stands behind it."""
    present = {os.path.relpath(os.path.join(at, name), bundle) for at, _, names in os.walk(bundle) for name in names}
    if any(os.path.islink(os.path.join(at, name)) for at, folders, names in os.walk(bundle) for name in folders + names):
        raise Bad(10, "a link is not part of a bundle")
    if not {"manifest.json", "manifest.json.sig"} <= present:
        raise Bad(10, "it has no signed manifest")
    with open(f"{bundle}/manifest.json", "rb") as file:
        raw = file.read(1 << 20)
    with open(f"{bundle}/manifest.json.sig", "rb") as file:
        armor = file.read(1 << 17)
    manifest = json.loads(raw)
    blob = base64.b64decode(b"".join(armor.split(b"\n")[1:-2]))
    text = base64.b64encode(blob)
    lines = [text[at:at + 70] for at in range(0, len(text), 70)]
    if armor != b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""]):
        raise Bad(10, "the signature of the manifest is not spelled as OpenSSH does")
    certificate = ssh_fields(blob[6:], "Isssss")[1]
    kind = ssh_fields(certificate[:4 + number(certificate[3::-1])], "s")[0]
    shape = {b"ssh-ed25519-cert-v01@openssh.com": "sss", b"ecdsa-sha2-nistp256-cert-v01@openssh.com": "ssss"}[kind]
    _, usage, key_id, _, after, before, *_, ca, _ = ssh_fields(certificate, shape + "QIssQQsssss")[len(shape):]
    if usage != 1 or key_id != manifest["made_by"].encode():
        raise Bad(10, "the certificate is not that of whoever the manifest names")
    issuer = f"{ca[4:4 + number(ca[3::-1])].decode()} {base64.b64encode(ca).decode()}"
    with open(f"{folder}/bundle_signers", "w") as out:
        out.write("".join(f'* cert-authority,namespaces="steno-bundle" {key}\n' for key in ca_keys or [issuer]))
    when = datetime.datetime.fromtimestamp(manifest["made_at"] // 1000, datetime.timezone.utc).strftime("%Y%m%d%H%M%SZ")
    done = subprocess.run(["ssh-keygen", "-Y", "verify", "-f", f"{folder}/bundle_signers", "-I", manifest["principal"], "-n", "steno-bundle",
                           "-O", f"verify-time={when}", "-s", f"{bundle}/manifest.json.sig"], input=raw, capture_output=True)
    if done.returncode != 0:
        code = 14 if ca_keys and issuer not in ca_keys else 10
        raise Bad(code, "the signature of the manifest does not hold: " + (done.stderr or done.stdout).decode(errors="replace").strip())
    files = {each["path"]: each for each in manifest["files"]}
    if set(files) != present - {"manifest.json", "manifest.json.sig"}:
        raise Bad(10, f"these are not in both the folder and the manifest: {sorted(set(files) ^ present - {'manifest.json', 'manifest.json.sig'})}")
    for path, each in files.items():
        digest, size = hashlib.sha256(), 0
        with open(f"{bundle}/{path}", "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                size += len(piece)
        if (size, digest.hexdigest()) != (each["bytes"], each["sha256"]):
            raise Bad(10, f"{path} is not what was signed")
    return manifest


def main_bundle(bundle, args, folder):
    try:
        user_cas = read_keys(args[1]) if len(args) > 1 else []
        manifest = within(10, "it is not a bundle as Steno writes it", check_bundle, bundle, user_cas, folder)
    except Bad as bad:
        print(f"bad: {bundle}: {bad}", file=sys.stderr)
        return bad.code
    whose = "" if user_cas else ", under a CA that was not given"
    print(f"good: {len(manifest['files'])} files as {manifest['made_by']!a} signed them{whose}")
    log = [f"{bundle}/events.zst"] if os.path.exists(f"{bundle}/events.zst") else []
    return main_files([f"{bundle}/recording.cast.zst", args[0], *log], folder, manifest["session"])


def main(args):
    temporary = tempfile.TemporaryDirectory()
    folder = temporary.name
    if args[:1] == ["--keep"]:
        folder, args = args[1], args[2:]
        os.makedirs(folder, exist_ok=True)
    return main_bundle(args[0], args[1:], folder) if os.path.isdir(args[0]) else main_files(args, folder)


def main_files(args, folder, session=None):
    ca_keys, found = read_keys(args[1]), []
    for name in args[:1] + args[2:]:
        with open(name, "rb") as file:
            data = file.read()
        try:
            lines = verify(data, ca_keys, folder)
            if found and (lines.stream, lines.session, found[0].stream) != ("events", found[0].session, "recording"):
                raise Bad(10, "not a recording and its event log")
            if session not in (None, lines.session["session"]):
                raise Bad(10, "the recording is of another session than the manifest says")
        except Bad as bad:
            print(f"bad: {name}: {bad}", file=sys.stderr)
            return bad.code
        found.append(lines)
        unchecked = f"; its {lines.keyframes} keyframes, which players draw, are not checked" if lines.keyframes else ""
        print(f"good: {'event log of ' if lines.stream == 'events' else ''}session {lines.session['session']}, {lines.n} blocks{unchecked}")
    if found[0].logged and len(found) == 1:
        print("the session has an event log, which was not given")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
