/**
 * Sessions in equal shares, for services that divide the work on them.
 *
 * A session's share follows from its id alone: FNV-1a (32 bits, draft-eastlake-fnv) of the id's characters, modulo `SHARES`. A set of shares
 * is written as 16 hexadecimal digits, share 0 in the lowest bit.
 */
export const SHARES = 64;

export const allShares: ReadonlySet<number> = new Set(Array.from({ length: SHARES }, (_, share) => share));

export function shareOf(session: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < session.length; i += 1) hash = Math.imul(hash ^ session.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % SHARES;
}

export function formatShares(shares: ReadonlySet<number>): string {
  let bits = 0n;
  for (const share of shares) bits |= 1n << BigInt(share);
  return bits.toString(16).padStart(SHARES / 4, '0');
}

/** Null for anything but 16 hexadecimal digits. */
export function parseShares(text: string): ReadonlySet<number> | null {
  if (!/^[0-9a-f]{16}$/.test(text)) return null;
  const bits = BigInt(`0x${text}`);
  return new Set([...allShares].filter((share) => ((bits >> BigInt(share)) & 1n) === 1n));
}
