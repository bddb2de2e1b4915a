/**
 * A copy in memory of its own, for bytes that live as long as a connection: a slice of Node's pool would keep its whole 8
 * KiB alive, and thousands of idle connections many megabytes.
 */
export function unpooledCopy(bytes: Uint8Array): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}
