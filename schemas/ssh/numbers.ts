/** Numbers of SSH messages (RFC 4250 section 4.1.2, RFC 5656, RFC 8308) and reasons: one table for the gateway and the page's SSH client. */
export const MSG = {
  disconnect: 1,
  ignore: 2,
  unimplemented: 3,
  debug: 4,
  serviceRequest: 5,
  serviceAccept: 6,
  /** RFC 8308. */
  extInfo: 7,
  kexInit: 20,
  newKeys: 21,
  /** RFC 5656 section 7.1. */
  ecdhInit: 30,
  ecdhReply: 31,
  userauthRequest: 50,
  userauthFailure: 51,
  userauthSuccess: 52,
  userauthBanner: 53,
  userauthPkOk: 60,
  globalRequest: 80,
  requestSuccess: 81,
  requestFailure: 82,
  channelOpen: 90,
  channelOpenConfirmation: 91,
  channelOpenFailure: 92,
  channelWindowAdjust: 93,
  channelData: 94,
  channelExtendedData: 95,
  channelEof: 96,
  channelClose: 97,
  channelRequest: 98,
  channelSuccess: 99,
  channelFailure: 100,
} as const;

/** Reasons of DISCONNECT (RFC 4253 section 11.1). */
export const DISCONNECT = {
  protocolError: 2,
  serviceUnavailable: 7,
  hostKeyNotVerifiable: 9,
  byApplication: 11,
  tooMany: 12,
  noMoreAuth: 14,
} as const;

/** Reasons for refusing to open a channel (RFC 4254 section 5.1). */
export const OPEN_REFUSED = { prohibited: 1, connectFailed: 2, unknownType: 3, shortage: 4 } as const;

/**
 * Names that each side adds to its key exchange to announce that no other messages are allowed before the first NEWKEYS (OpenSSH
 * PROTOCOL section 1.10, CVE-2023-48795).
 */
export const STRICT_KEX = { client: 'kex-strict-c-v00@openssh.com', server: 'kex-strict-s-v00@openssh.com' } as const;
