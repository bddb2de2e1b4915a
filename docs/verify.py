#!/usr/bin/env python3
"""An independent verifier of Steno recordings, written from docs/format.md. Needs stock zstd and ssh-keygen.

usage: verify.py [--keep DIR] RECORDING.cast.zst RECORDING_CA.pub
Exit codes: 0 good, 10 altered, 11 truncated, 12 reordered, 13 missing part, 14 unsigned, 65 no recording.
"""
import base64, datetime, hashlib, json, os, struct, subprocess, sys, tempfile


class Bad(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def zstd_frame_length(data, start):
    """RFC 8878, 3.1.1: the header, then blocks until the last, then the checksum."""
    descriptor = data[start + 4]
    single, size_flag = descriptor >> 5 & 1, descriptor >> 6
    at = start + 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3] + ((1 if single else 0), 2, 4, 8)[size_flag]
    while True:
        header = int.from_bytes(data[at:at + 3], "little")
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        if header & 1:
            return at + (4 if descriptor & 4 else 0) - start


def segments(data):
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise Bad(11, "cut off")
        magic, size = struct.unpack_from("<II", data, at)
        if magic == 0xFD2FB528:
            try:
                size = zstd_frame_length(data, at)
            except IndexError:
                raise Bad(11, "cut off")
            kind = "data"
        elif magic in (0x184D2A5B, 0x184D2A5C, 0x184D2A5E):
            size += 8
            kind = {0x184D2A5B: "proof", 0x184D2A5C: "index", 0x184D2A5E: "seek"}[magic]
        else:
            raise Bad(65 if at == 0 else 10, f"unknown frame at byte {at}")
        if at + size > len(data):
            raise Bad(11, "cut off")
        yield kind, data[at:at + size]
        at += size


def read_proof(raw):
    """docs/format.md, "Proof"."""
    number = lambda at, size: int.from_bytes(raw[at:at + size], "little")
    if len(raw) < 140 or raw[0] != 1 or raw[1] > 2:
        raise Bad(10, "unreadable proof")
    end = ("open", "complete", "interrupted")[raw[1]]
    checkpoint = {"block": number(6, 4), "bytes": number(10, 6), "at": number(16, 6), "time": number(22, 6), "head": raw[28:60].hex(), "end": end}
    return {"part": number(2, 4), "checkpoint": checkpoint, "certificate": raw[60:76], "signature": raw[76:140], "tags": raw[140:]}


def check_signature(checkpoint, signature, certificate, ca_line, folder):
    order = ("session", "gateway", "counter", "block", "bytes", "at", "time", "head", "end")
    text = "steno-checkpoint/1\n" + "".join(f"{name} {checkpoint[name]}\n" for name in order)
    string = lambda raw: struct.pack(">I", len(raw)) + raw
    blob = (b"SSHSIG" + struct.pack(">I", 1) + string(certificate) + string(b"steno-checkpoint") + string(b"")
            + string(b"sha512") + string(string(b"ssh-ed25519") + string(signature)))
    armor = base64.b64encode(blob).decode()
    with open(f"{folder}/checkpoint.sig", "w") as out:
        lines = [armor[i:i + 70] for i in range(0, len(armor), 70)]
        out.write("\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]))
    with open(f"{folder}/checkpoint.txt", "w") as out:
        out.write(text)
    with open(f"{folder}/allowed_signers", "w") as out:
        out.write(f'{checkpoint["gateway"]} cert-authority,namespaces="steno-checkpoint" {ca_line}\n')
    when = datetime.datetime.fromtimestamp(checkpoint["time"] / 1000, datetime.timezone.utc).strftime("%Y%m%d%H%M%SZ")
    done = subprocess.run(["ssh-keygen", "-Y", "verify", "-f", f"{folder}/allowed_signers", "-I", checkpoint["gateway"], "-n", "steno-checkpoint",
                           "-O", f"verify-time={when}", "-s", f"{folder}/checkpoint.sig"], input=text.encode(), capture_output=True)
    if done.returncode != 0:
        raise Bad(14, "the signature does not hold: " + (done.stderr or done.stdout).decode(errors="replace").strip())


def verify(data, ca_line, folder):
    parts, certificates, frames, broken = [], {}, [], None
    try:
        for kind, raw in segments(data):
            if kind == "data":
                frames.append(raw)
            elif kind == "proof" and raw[8:9] == b"\x02":
                certificates[hashlib.sha256(raw[9:]).digest()[:16]] = raw[9:]
            elif kind == "proof":
                parts.append((read_proof(raw[8:]), frames))
                frames = []
    except Bad as bad:
        broken = bad
    if not parts:
        raise broken or Bad(11 if certificates else 14 if frames else 65, "no checkpoint")
    numbers = [proof["part"] for proof, _ in parts]
    if numbers != list(range(1, len(numbers) + 1)):
        whole = sorted(numbers) == list(range(1, len(numbers) + 1))
        raise Bad(12 if whole else 13, f"parts are {numbers}")
    head, n, at, total, session, uncertified = b"", 0, 0, 0, None, False
    for proof, frames in parts:
        done = subprocess.run(["zstd", "-dc"], input=b"".join(frames), capture_output=True)
        if done.returncode != 0:
            raise Bad(10, f"a zstd frame of part {proof['part']} is damaged")
        c, tags = proof["checkpoint"], proof["tags"]
        block, start, first = b"", 0, c["block"] - len(tags) + 1

        def close():
            nonlocal head, total
            head = hashlib.sha256(head + struct.pack(">Q", len(block)) + block).digest()
            total += len(block)
            if tags[n - first:n - first + 1] != head[:1]:
                raise Bad(10, f"block {n} is not what was signed")

        for line in done.stdout.splitlines(keepends=True):
            value = json.loads(line)
            if isinstance(value, dict):
                session = value["steno"]
                head = hashlib.sha256(b"steno-recording/1\n" + session["session"].encode()).digest()
            elif value[1] == "k":
                continue
            else:
                at += round(value[0] * 1000)
            if not block or len(block) + len(line) > 65536 or at - start >= 1000:
                if block:
                    close()
                n, block, start = n + 1, b"", at
            block += line
        close()
        if (c["block"], c["bytes"], c["at"], c["head"]) != (n, total, at, head.hex()):
            raise Bad(10, f"the checkpoint of part {proof['part']} does not match")
        signed = {"session": session["session"], "gateway": session["gateway"], "counter": session["counter"], **c}
        if proof["certificate"] in certificates:
            check_signature(signed, proof["signature"], certificates[proof["certificate"]], ca_line, folder)
        else:
            uncertified = True
    if broken or parts[-1][0]["checkpoint"]["end"] == "open":
        raise Bad(11, "nothing closes the recording")
    if uncertified:
        raise Bad(14, "no certificate")
    return session["session"], n


def main(args):
    folder = tempfile.mkdtemp()
    if args[:1] == ["--keep"]:
        folder, args = args[1], args[2:]
        os.makedirs(folder, exist_ok=True)
    with open(args[0], "rb") as file:
        data = file.read()
    with open(args[1]) as file:
        ca_line = " ".join(file.read().split()[:2])
    try:
        session, blocks = verify(data, ca_line, folder)
    except Bad as bad:
        print(f"bad: {bad}", file=sys.stderr)
        return bad.code
    print(f"good: session {session}, {blocks} blocks")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
