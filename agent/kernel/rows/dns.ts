/**
 * Parses the question of a DNS message (RFC 1035, 4.1): the name and type queried. The bytes are hostile: anything other
 * than one plain question gives null, and the send is recorded as a plain send. Tested in dns.test.ts.
 */
export interface Question {
  /** Without the final dot; bytes outside printable ASCII as `\DDD` (RFC 1035, 5.1). */
  readonly name: string;
  /** `A`, `AAAA`, …, or `TYPE123` (RFC 3597). */
  readonly type: string;
}

const types = new Map([
  [1, 'A'],
  [2, 'NS'],
  [5, 'CNAME'],
  [6, 'SOA'],
  [12, 'PTR'],
  [15, 'MX'],
  [16, 'TXT'],
  [28, 'AAAA'],
  [33, 'SRV'],
  [35, 'NAPTR'],
  [43, 'DS'],
  [48, 'DNSKEY'],
  [64, 'SVCB'],
  [65, 'HTTPS'],
  [252, 'AXFR'],
  [255, 'ANY'],
  [257, 'CAA'],
]);
const HEADER = 12;
const MAX_NAME = 255;

/** `overTcp`: two bytes of length come first (RFC 1035, 4.2.2). */
export function questionOf(message: Buffer, overTcp = false): Question | null {
  const bytes = overTcp ? message.subarray(2) : message;
  // A query (QR 0) with at least one question.
  if (bytes.length < HEADER + 5 || (bytes[2]! & 0x80) !== 0 || bytes.readUInt16BE(4) === 0) return null;
  const labels: string[] = [];
  let at = HEADER;
  for (let total = 0; ;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return null;
    at += 1;
    if (length === 0) break;
    total += length + 1;
    if (total > MAX_NAME || at + length > bytes.length) return null;
    labels.push(labelText(bytes.subarray(at, at + length)));
    at += length;
  }
  if (at + 4 > bytes.length) return null;
  const type = bytes.readUInt16BE(at);
  return { name: labels.join('.'), type: types.get(type) ?? `TYPE${type}` };
}

function labelText(label: Buffer): string {
  let text = '';
  for (const byte of label) {
    if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}
