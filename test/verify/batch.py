"""Drives docs/verify.py over many files in one process: u32 length and file on standard input, a line of JSON each on standard output.

What zstd and ssh-keygen answer to the same question is remembered. A file that takes more than a minute ends the run.
"""
import importlib.util, json, signal, struct, sys, tempfile

spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
verifier = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verifier)


def remembered(act, key):
    answers = {}

    def ask(*args):
        known = key(*args)
        if known not in answers:
            try:
                answers[known] = act(*args), None
            except verifier.Bad as bad:
                answers[known] = None, bad
        value, bad = answers[known]
        if bad:
            raise bad
        return value
    return ask


verifier.decompress = remembered(verifier.decompress, lambda frame: bytes(frame))
verifier.check_signature = remembered(verifier.check_signature, lambda signed, *rest: (json.dumps(signed), *rest[:2]))
keys = [" ".join(line.split()[:2]) for line in sys.argv[2:]]
with tempfile.TemporaryDirectory() as folder:
    while head := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
        signal.alarm(60)
        try:
            lines = verifier.verify(data, keys, folder)
            answer = {"code": 0, "text": "", "keyframes": lines.keyframes}
        except verifier.Bad as bad:
            answer = {"code": bad.code, "text": str(bad), "keyframes": 0}
        except Exception as error:
            answer = {"code": -1, "text": repr(error), "keyframes": 0}
        print(json.dumps(answer), flush=True)
