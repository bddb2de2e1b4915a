/** Files inside ssh2 that its typings omit. */
declare module 'ssh2/lib/protocol/crypto.js' {
  const ssh2Crypto: { readonly bindingAvailable: boolean };
  export default ssh2Crypto;
}
declare module 'ssh2/lib/protocol/utils.js' {
  const utils: { sendPacket(protocol: object, packet: Buffer): boolean };
  export default utils;
}
