/**
 * A copy in memory of its own, for what lives as long as a connection: as a piece of Node's pool a few bytes would keep
 * all 8 KiB of it, and thousands of idle connections many megabytes.
 */
export function unpooledCopy(bytes: Uint8Array): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}
