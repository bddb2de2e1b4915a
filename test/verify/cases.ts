/** The rows of the table in docs/format.md, "Cases", each with matching files. */
import { createHash } from 'node:crypto';
import { checkpointText } from '#schemas/recording/checkpoint.js';
import type { Checkpoint } from '#schemas/recording/checkpoint.js';
import { encodeHeader, encodeLine } from '#schemas/recording/line.js';
import type { CertificateFields } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Zstd } from '#runtime/zstd.js';
import { Recorder, signCheckpoint } from '#recordings/testing/recorder.js';
import type { Corpus } from './recordings.js';
import { certificatePiece, closed, data, isKeyframe, joined, linesOf, made, piecesOf, proofOf, proofPiece } from './surgery.js';
import type { Making, Piece } from './surgery.js';

export interface Case {
  /** The text in the table. */
  readonly row: string;
  readonly code: number;
  /** The code of a verifier without a terminal emulator, if it differs. */
  readonly blind?: number;
  readonly files: readonly Buffer[];
}

const ED25519_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const DAY = Date.UTC(2026, 1, 1) / 1000;

export function makeCases({ recordings, objects, caKey, gateway }: Corpus, zstd: Zstd): Case[] {
  const named = (name: string): Buffer => recordings.find((recording) => recording.name === name)!.file;
  const parts = piecesOf(named('terminal, in parts'));
  const long = piecesOf(named('terminal with anchors, sealed'));
  const short = piecesOf(named('terminal, sealed'));
  const two = piecesOf(named('in parts of two certificates, the last without lines'));
  const [certificate, lines, proof] = short as [Piece, Piece, Piece, Piece];
  const all = (): Buffer[] => recordings.filter(({ code }) => code === 0).map(({ file }) => file);
  const content = (piece: Piece): Buffer => Buffer.from(zstd.decompress(piece.bytes));
  /** Changes the lines of frame `n` of the long recording. */
  const relined = (change: (lines: Buffer[]) => readonly Buffer[], n = 1): Buffer =>
    closed(long.map((piece, i) => (i === n ? data(zstd, Buffer.concat(change(linesOf(content(piece))))) : piece)));
  const keyframeAt = (lines: readonly Buffer[]): number => lines.findIndex(isKeyframe);
  const withKeyframe = long.findIndex((piece) => piece.kind === 'data' && keyframeAt(linesOf(content(piece))) >= 0);
  const keyframe = Buffer.from(encodeLine(0, { code: 'k', data: { cols: 80, rows: 24, screen: 'forged' } }));
  const numbered = (order: readonly number[]): Buffer => {
    const [head, groups] = [parts.filter(({ kind }) => kind === 'certificate'), groupsOf(parts)];
    return closed([...head, ...order.flatMap((n) => groups[n - 1]!)]);
  };
  /** Two data frames one after the other. */
  const twin = parts.findIndex(({ kind }, i) => kind === 'data' && parts[i + 1]?.kind === 'data');
  const count = groupsOf(parts).length;
  const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
  const patched = (piece: Piece, change: (bytes: Buffer) => void): Piece => {
    const bytes = Buffer.from(piece.bytes);
    change(bytes);
    return { ...piece, bytes };
  };
  const flip =
    (offset: number) =>
    (bytes: Buffer): void =>
      void (bytes[offset]! ^= 1);
  const swapped = (pieces: readonly Piece[], a: number): Piece[] => pieces.map((_, i) => pieces[i === a ? a + 1 : i === a + 1 ? a : i]!);

  // Recordings made from scratch by an attacker with a key.
  const mallory = generateKey();
  const recorder = new Recorder(gateway);
  const story = (
    facts: ConstructorParameters<typeof Recorder>[1] = {},
  ): { readonly lines: Buffer[]; readonly steno: Recorder['header']['steno'] } => {
    const { header } = new Recorder(gateway, facts);
    return {
      lines: [Buffer.from(encodeHeader(header)), Buffer.from(encodeLine(10, { code: 'o', data: 'it was not me\r\n' }))],
      steno: header.steno,
    };
  };
  const forged = (
    more: Partial<Making> & { readonly key: SshPrivateKey; readonly certificate: Uint8Array },
    facts: ConstructorParameters<typeof Recorder>[1] = {},
  ): Buffer => {
    const { lines, steno } = story(facts);
    return closed(made(lines, steno, { zstd, ...more }));
  };
  const issue = (fields: Partial<CertificateFields>, signer = caKey, subject = mallory): Buffer =>
    issueCertificate(signer, {
      publicKey: subject.publicBlob,
      serial: 1n,
      kind: 'user',
      keyId: 'x',
      principals: [gateway.gateway],
      validAfter: BigInt(DAY - 60),
      validBefore: BigInt(DAY + 3600),
      criticalOptions: new Map(),
      extensions: new Map(),
      ...fields,
    });
  const certified = (fields: Partial<CertificateFields>, signer = caKey): Buffer =>
    forged({ key: mallory, certificate: issue(fields, signer) });
  const good = { key: gateway.key, certificate: gateway.certificate };
  const signedFor =
    (namespace: string, hash: 'sha512' | 'sha256' = 'sha512') =>
    (checkpoint: Checkpoint) => ({
      ...checkpoint,
      signature: gateway.key
        .sign(sshsigSignedData(namespace, hash, createHash(hash).update(checkpointText(checkpoint)).digest()))
        .toString('base64'),
    });
  const malleable = (checkpoint: Checkpoint): ReturnType<typeof signCheckpoint> => {
    const signed = signCheckpoint(checkpoint, gateway.key);
    const blob = Buffer.from(signed.signature, 'base64');
    let s = ED25519_ORDER;
    for (let i = 31; i >= 0; i--) s += BigInt(blob[blob.length - 32 + i]!) << BigInt(8 * i);
    for (let i = 0; i < 32; i++) blob[blob.length - 32 + i] = Number((s >> BigInt(8 * i)) & 255n);
    return { ...signed, signature: blob.toString('base64') };
  };
  const namedSo = (name: string): Buffer =>
    forged({ key: mallory, certificate: issue({ principals: [name === '' ? 'gw-1' : name] }, mallory) }, { gateway: name });
  const trustLine = formatPublicLine(mallory.publicBlob);
  const withoutCaSignature = (): Buffer => {
    // A certificate that names the trusted CA but has another signer's signature.
    const honest = issue({});
    const bad = issue({}, mallory);
    return Buffer.concat([honest.subarray(0, honest.length - 64), bad.subarray(bad.length - 64)]);
  };
  const reborn = (change: (lines: Buffer[]) => void): Buffer => {
    const { lines, steno } = story();
    change(lines);
    return closed(made(lines, steno, { zstd, ...good }));
  };

  const row = (text: string, code: number, ...files: readonly Buffer[]): Case => ({ row: text, code, files });
  return [
    row('as `steno export` writes it, sealed or in parts, whoever ended it', 0, ...all()),
    row('stored objects in order behind the certificate', 0, objects),
    row('a closing part without lines', 0, named('in parts of two certificates, the last without lines')),
    row('nothing in it', 65, Buffer.alloc(0)),
    row(
      'not begun by a frame of a recording',
      65,
      Buffer.from('hello, this is not a recording'),
      Buffer.alloc(64, 0xff),
      Buffer.from('hello'),
      ...[0, 8].map((from) => joined([patched(certificate, (bytes) => bytes.fill(0, from)), ...short.slice(1)])),
    ),
    row(
      'a seek table or an index alone',
      65,
      joined(short.filter(({ kind }) => kind === 'seek-table')),
      objects.subarray(objects.indexOf(Buffer.from('5c2a4d18', 'hex'))),
    ),
    row(
      'a header of a newer `format`',
      65,
      reborn((changed) => void (changed[0] = Buffer.from(changed[0]!.toString().replace('"format":1', '"format":2')))),
    ),

    row(
      'cut off in the middle of a frame',
      11,
      ...[3, 7, 11, 60, certificate.bytes.length + 9, certificate.bytes.length + 60].map((length) => joined(short).subarray(0, length)),
      joined(short).subarray(0, -1),
      joined(long).subarray(0, 5000),
    ),
    row(
      'cut off between two frames',
      11,
      ...[1, 2, 3].map((n) => joined(short.slice(0, n))),
      joined(parts.slice(0, 5)),
      closed(parts.slice(0, 5)),
    ),
    row('a session that is not over', 11, named('live')),
    row('the closing part missing', 11, numbered(upTo(count - 1))),
    row('lines that nobody signed, after a checkpoint that does not close the session', 11, closed([...piecesOf(named('live')), lines])),

    row('parts in another order', 12, numbered([1, 3, 2, ...upTo(count).slice(3)])),
    row('a part twice', 12, numbered([1, 2, 2, ...upTo(count).slice(2)])),
    row('a part in the middle missing', 13, numbered([1, ...upTo(count).slice(2)])),
    row('the first part missing', 13, numbered(upTo(count).slice(1))),

    row(
      'a byte of a data frame changed',
      10,
      ...[6, 20, lines.bytes.length - 1].map((offset) => joined([certificate, patched(lines, flip(offset)), ...short.slice(2)])),
    ),
    row(
      'a line changed, missing, twice, or in another place, with checksums and seek table made right',
      10,
      relined((all) => all.map((line, i) => (i === 2 ? Buffer.from(line.toString().replace('line 0', 'line 9')) : line))),
      relined((all) => all.toSpliced(3, 1)),
      relined((all) => all.toSpliced(3, 0, all[3]!)),
      relined((all) => swapOf(all, 3)),
      relined((all) => all.toSpliced(1, 0, Buffer.from('[0,"o","x"]\n'))),
    ),
    row(
      'a data frame missing, twice, or in another place, with the seek table made right',
      10,
      closed(parts.toSpliced(twin, 1)),
      closed(parts.toSpliced(twin, 0, parts[twin]!)),
      closed(swapped(parts, twin)),
    ),
    row(
      'a line cut, without newline, over 65,536 bytes, or no line of a recording',
      10,
      relined((all) => [...all.slice(0, -1), all.at(-1)!.subarray(0, -1)], 1),
      relined((all) => [...all, Buffer.from('[1')]),
      relined((all) => [...all, Buffer.from(`[0,"o","${'x'.repeat(65_536)}"]\n`)]),
      relined((all) => [...all, Buffer.from('[ 0, "o", "x"]\n')]),
      relined((all) => [...all, Buffer.from('[-1,"o","x"]\n')]),
      relined((all) => [...all, Buffer.from('\n')]),
      relined((all) => [...all, Buffer.from('{}\n')]),
    ),
    row(
      'no header, or a header that names no session, gateway or counter',
      10,
      relined((all) => all.slice(1)),
      relined((all) => [all[1]!, all[0]!, ...all.slice(2)]),
      ...(['session', 'gateway', 'counter'] as const).map((name) =>
        relined((all) => [Buffer.from(all[0]!.toString().replace(`"${name}"`, `"${name}2"`)), ...all.slice(1)]),
      ),
    ),
    row(
      'a data frame that claims to be empty or above 4 MiB, has no checksum or a dictionary, or wants a window above 8 MiB',
      10,
      ...[
        [0x20, 0],
        [0x24, 0],
        [0xa4, 0, 0, 0, 0xff],
        [0x25, 1, 9],
        [0x44, 0xa9, 0, 0],
        [0xa0, 9, 0, 0, 0],
      ].map((head) =>
        closed([
          certificate,
          { kind: 'data', bytes: Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...head, 1, 0, 0, 0, 0, 0, 0]), decompressed: 0 },
          ...short.slice(1),
        ]),
      ),
    ),
    row(
      'a skippable frame above 4 MiB',
      10,
      closed([certificate, patched(proof, (bytes) => bytes.writeUInt32LE(0xffff_fff0, 4)), ...short.slice(2)]),
    ),
    row(
      'a frame with an unknown magic after the first',
      10,
      ...[1, 2, 3].map((n) => joined(short.map((piece, i) => (i === n ? patched(piece, (bytes) => bytes.fill(0)) : piece)))),
      Buffer.concat([joined(short), Buffer.from('trailing')]),
    ),
    row(
      'a proof that cannot be read, or whose number of tags, block, bytes, at, head or end is not what its lines come to',
      10,
      ...[8, 9, 8 + 6, 8 + 10, 8 + 16, 8 + 28].map((offset) =>
        closed(short.map((piece) => (piece === proof ? patched(piece, (bytes) => void (bytes[offset] = bytes[offset]! + 4)) : piece))),
      ),
      closed(
        short.map((piece) =>
          piece === proof ? proofPiece({ ...proofOf(proof), first_block: 2, tags: proofOf(proof).tags.subarray(1) }) : piece,
        ),
      ),
    ),
    row('a tag that is not that of its block', 10, closed(short.map((piece) => (piece === proof ? patched(piece, flip(8 + 140)) : piece)))),
    row('lines that nobody signed, after the end', 10, closed([...short.slice(0, 3), lines])),
    row(
      'bytes after the last frame, four or more',
      10,
      Buffer.concat([joined(short), Buffer.alloc(4)]),
      Buffer.concat([joined(short), Buffer.from('# the end\n')]),
    ),
    row(
      'a part that closes the session, and another after it',
      10,
      (() => {
        const [first] = piecesOf(named('empty'));
        const { lines: written, steno } = story();
        const one = made(written, steno, { zstd, ...good });
        const again = proofPiece({
          ...proofOf(one[2]!),
          part: 2,
          first_block: proofOf(one[2]!).checkpoint.block + 1,
          tags: new Uint8Array(0),
        });
        return closed([first!, ...one.slice(1), again]);
      })(),
    ),
    row(
      'a part without lines that does not close the session',
      10,
      (() => {
        const { lines: written, steno } = story();
        const one = made(written, steno, { zstd, ...good, change: (checkpoint) => ({ ...checkpoint, end: 'open' }) });
        return closed([
          ...one,
          proofPiece({ ...proofOf(one[2]!), part: 2, first_block: proofOf(one[2]!).checkpoint.block + 1, tags: new Uint8Array(0) }),
        ]);
      })(),
    ),

    row('a certificate missing that a proof names', 14, closed(short.slice(1)), closed(two.toSpliced(0, 1)), closed(two.toSpliced(1, 1))),
    row(
      'a certificate changed or set to zeros, where another remains or not',
      14,
      ...[short, two].flatMap((pieces) => [
        closed([patched(pieces[0]!, flip(40)), ...pieces.slice(1)]),
        closed([patched(pieces[0]!, (bytes) => bytes.fill(0, 9)), ...pieces.slice(1)]),
      ]),
    ),

    row(
      'a certificate twice, in another order, after the first lines, or that no proof names',
      10,
      closed([short[0]!, ...short]),
      closed(swapped(two, 0)),
      closed(swapped(short, 0)),
      closed([short[0]!, certificatePiece(issue({})), ...short.slice(1)]),
    ),
    row('lines without any proof', 14, joined([lines]), closed([lines])),
    row('a signature changed', 14, closed(short.map((piece) => (piece === proof ? patched(piece, flip(8 + 100)) : piece)))),
    row(
      'a checkpoint whose `time` was changed',
      14,
      closed(short.map((piece) => (piece === proof ? patched(piece, flip(8 + 22)) : piece))),
    ),

    row('a seek table missing at the end', 11, joined(short.slice(0, -1)), joined(swapped(short, 2))),
    row(
      'a seek table changed, twice, in another place, or with checksums',
      10,
      ...[9, 12].map((offset) => joined([...short.slice(0, -1), patched(short.at(-1)!, flip(offset))])),
      joined([...short, short.at(-1)!]),
      joined([...short.slice(0, -1), patched(short.at(-1)!, (bytes) => void (bytes[bytes.length - 5] = 0x80))]),
      joined(parts.toSpliced(1, 0, parts.at(-1)!)),
    ),
    row(
      'an index that does not say where segments begin, or is in an impossible position',
      10,
      (() => {
        const at = objects.indexOf(Buffer.from('5c2a4d18', 'hex'));
        const changed = Buffer.from(objects);
        changed[at + 8] = changed[at + 8]! ^ 1;
        return changed;
      })(),
      joined(swapped(piecesOf(objects), 1)),
      closed([...parts.slice(0, -1), piecesOf(objects).find(({ kind }) => kind === 'index')!]),
    ),

    row(
      'signed with a key that the recording CA did not certify',
      14,
      forged({ key: mallory, certificate: issue({}, mallory) }),
      forged({ key: mallory, certificate: mallory.publicBlob }),
      forged({ key: mallory, certificate: Buffer.from('certificate') }),
    ),
    row(
      'a certificate that names the recording CA and was signed by somebody else',
      14,
      forged({ key: mallory, certificate: withoutCaSignature() }),
    ),
    row(
      'a gateway whose name is no name, such as one that would be a line of `allowed_signers`',
      10,
      ...[
        `* ${trustLine}\nx`,
        `* cert-authority ${trustLine}\nx`,
        'gw-1 ',
        'gw-1\n',
        'GW-1',
        '-Oprint-pubkey',
        '',
        '*',
        'a..b',
        'x'.repeat(64),
      ].map(namedSo),
    ),
    row('a certificate of another gateway', 14, certified({ principals: ['gw-2'] })),
    row(
      'a certificate with no principal or with a further one',
      14,
      certified({ principals: [] }),
      certified({ principals: [gateway.gateway, 'gw-2'] }),
      certified({ principals: ['gw-2', gateway.gateway] }),
    ),
    row('a certificate of host kind', 14, certified({ kind: 'host' })),
    row(
      'a certificate with a critical option',
      14,
      certified({ criticalOptions: new Map([['force-command', 'true']]) }),
      certified({ criticalOptions: new Map([['source-address', '0.0.0.0/0']]) }),
      certified({ criticalOptions: new Map([['verify-required', '']]) }),
    ),
    row(
      'a certificate that was not valid when the checkpoint was signed',
      14,
      certified({ validBefore: BigInt(DAY) }),
      certified({ validAfter: BigInt(DAY + 31), validBefore: BigInt(DAY + 99) }),
    ),
    row('a certificate that begins within 30 s after', 0, certified({ validAfter: BigInt(DAY + 30), validBefore: BigInt(DAY + 99) })),
    row(
      'a certificate of a key that did not sign',
      14,
      forged({ key: mallory, certificate: gateway.certificate }),
      forged({ key: gateway.key, certificate: issue({}) }),
    ),
    row(
      'a signature in another namespace or of another hash',
      14,
      forged({ ...good, signature: signedFor('file') }),
      forged({ ...good, signature: signedFor('steno-checkpoint', 'sha256') }),
    ),
    row('a signature whose second half is not below the order of the curve', 14, forged({ ...good, signature: malleable })),
    row(
      'a checkpoint that was signed for another session, gateway or counter',
      14,
      forged({ ...good, signature: (c) => ({ ...signCheckpoint({ ...c, session: recorder.session }, gateway.key), session: c.session }) }),
      forged({ ...good, signature: (c) => signCheckpoint({ ...c, gateway: 'gw-2' }, gateway.key) }),
      forged({ ...good, signature: (c) => signCheckpoint({ ...c, counter: 2 }, gateway.key) }),
    ),

    row(
      'a keyframe before the first line, or before a line that begins no block',
      10,
      relined((all) => [keyframe, ...all]),
      relined((all) => all.toSpliced(1, 0, keyframe)),
      relined((all) => all.toSpliced(2, 0, keyframe)),
    ),
    row(
      'a keyframe twice, after the last line, or in a session without a terminal',
      10,
      relined((all) => all.toSpliced(keyframeAt(all), 0, all[keyframeAt(all)]!), withKeyframe),
      closed(short.map((piece) => (piece === lines ? data(zstd, Buffer.concat([content(piece), keyframe])) : piece))),
      (() => {
        const { lines: written, steno } = story({ tty: false });
        const late = Buffer.from(encodeLine(1500, { code: 'o', data: 'x' }));
        return closed(made([...written, keyframe, late], steno, { zstd, ...good }));
      })(),
    ),
    row(
      'a keyframe that is not written as Steno writes them',
      10,
      ...[
        ['"cols":80', '"cols":80.0'],
        ['"cols":80', '"cols":0'],
        ['"cols":80', '"cols":1001'],
        ['"anchor":true', '"anchor":false'],
        ['[0,"k"', '[0.0,"k"'],
        ['"rows"', '"x":1,"rows"'],
      ].map(([from, to]) =>
        relined((all) => all.map((line) => (isKeyframe(line) ? Buffer.from(line.toString().replace(from!, to!)) : line)), withKeyframe),
      ),
    ),
    {
      ...row(
        'a keyframe that shows another screen than the lines before it; `verify.py` answers 0 and says that keyframes are not checked',
        10,
        relined((all) => all.map((line) => (isKeyframe(line) ? keyframe : line)), withKeyframe),
        relined(
          (all) => all.map((line) => (isKeyframe(line) ? Buffer.from(line.toString().replace(/line (\d)/, 'lime $1')) : line)),
          withKeyframe,
        ),
        relined(
          (all) => all.map((line) => (isKeyframe(line) ? Buffer.from(line.toString().replace('"cols":80', '"cols":81')) : line)),
          withKeyframe,
        ),
        relined(
          (all) => all.map((line) => (isKeyframe(line) ? Buffer.from(line.toString().replace('","anchor"', '\\u001b7","anchor"')) : line)),
          withKeyframe,
        ),
      ),
      blind: 0,
    },
    row(
      '**unproven:** keyframes left out, written otherwise with the same screen, or without `anchor`',
      0,
      relined((all) => all.filter((line) => !isKeyframe(line)), withKeyframe),
      relined(
        (all) => all.map((line) => (isKeyframe(line) ? Buffer.from(line.toString().replace(',"anchor":true', '')) : line)),
        withKeyframe,
      ),
    ),
    row(
      '**unproven:** the same lines compressed otherwise, or cut into other frames, with the seek table made right',
      0,
      closed(short.map((piece) => (piece === lines ? data(zstd, content(piece), 19) : piece))),
      closed(short.flatMap((piece) => (piece === lines ? linesOf(content(piece)).map((line) => data(zstd, line)) : piece))),
    ),
    row(
      '**unproven:** parts joined under the last checkpoint, as sealing does',
      0,
      (() => {
        const proofs = parts.filter(({ kind }) => kind === 'part').map(proofOf);
        const last = proofs.at(-1)!;
        return closed([
          ...parts.filter(({ kind }) => kind === 'certificate' || kind === 'data'),
          proofPiece({ ...last, part: 1, first_block: 1, tags: Buffer.concat(proofs.map(({ tags }) => tags)) }),
        ]);
      })(),
    ),
  ];
}

function groupsOf(pieces: readonly Piece[]): Piece[][] {
  const groups: Piece[][] = [];
  let group: Piece[] = [];
  for (const piece of pieces) {
    if (piece.kind === 'data' || piece.kind === 'part') group.push(piece);
    if (piece.kind !== 'part') continue;
    groups.push(group);
    group = [];
  }
  return groups;
}

function swapOf<T>(list: readonly T[], a: number): T[] {
  return list.map((_, i) => list[i === a ? a + 1 : i === a + 1 ? a : i]!);
}
