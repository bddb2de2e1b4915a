/**
 * Copies bytes into separately allocated memory, for bytes that live as long as a connection: a slice of Node's pool would keep its whole
 * 8 KiB alive, which adds up to many megabytes over thousands of idle connections.
 */
export function unpooledCopy(bytes: Uint8Array): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}
