/**
 * One-time codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits, 30 s, as every app understands it.
 *
 * A code is valid in its own step and the adjacent ones (clock skew), and once: the step of the last accepted code is stored
 * with the device, and neither it nor an earlier one is accepted again. Tested in users.test.ts.
 */
import { Secret, TOTP } from 'otpauth';

const STEP_MS = 30_000;
const SECRET_BYTES = 20;

export function newTotpSecret(): Buffer {
  return Buffer.from(new Secret({ size: SECRET_BYTES }).buffer);
}

/** Content of the QR code (the `otpauth` scheme of authenticator apps), and its secret in base32 for typing. */
export function totpEnrolment(secret: Uint8Array, user: string, issuer: string): { readonly uri: string; readonly secret: string } {
  const totp = totpOf(secret, { label: user, issuer });
  return { uri: totp.toString(), secret: totp.secret.base32 };
}

/** The time step of the code, or null if it is not valid now. `now`: ms since 1970. */
export function totpStep(secret: Uint8Array, code: string, now: number): number | null {
  if (!/^\d{6}$/.test(code)) return null;
  const delta = totpOf(secret).validate({ token: code, timestamp: now, window: 1 });
  return delta === null ? null : Math.floor(now / STEP_MS) + delta;
}

function totpOf(secret: Uint8Array, name: { readonly label?: string; readonly issuer?: string } = {}): TOTP {
  const bytes = new Uint8Array(secret);
  return new TOTP({ ...name, algorithm: 'SHA1', digits: 6, period: STEP_MS / 1000, secret: new Secret({ buffer: bytes.buffer }) });
}
