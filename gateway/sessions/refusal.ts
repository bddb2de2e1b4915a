/**
 * Refusals of the gateway: the same two lines wherever a client can show them, and one row in the audit.
 */
import { errorCatalogue, StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';

/** The error with its code, and how to fix it. Printable ASCII, because details may quote input of a stranger. */
export function explain(code: ErrorCode, detail?: string): readonly [string, string] {
  const { message, fix } = errorCatalogue[code];
  const what = detail === undefined || detail === '' ? message : `${message}: ${detail}`;
  return [`steno: ${printable(what, 400)} [${code}]`, `steno: ${fix}`];
}

export function explainError(error: StenoError): readonly [string, string] {
  return explain(error.code, error.detail);
}

/** Replaces control characters: an error must not be able to control the terminal. */
export function printable(text: string, limit: number): string {
  return text.replace(/[^ -~]/g, '?').slice(0, limit);
}

/** A node's banner for a terminal, as OpenSSH prints it: its lines, without control characters. */
export function terminalText(text: string): Buffer {
  const plain = text.replace(/\r\n?/g, '\n').replace(/[^\P{C}\n\t]/gu, '?');
  return Buffer.from(plain === '' || plain.endsWith('\n') ? plain.replace(/\n/g, '\r\n') : `${plain.replace(/\n/g, '\r\n')}\r\n`);
}

export function asStenoError(error: unknown): StenoError {
  return error instanceof StenoError ? error : new StenoError('INTERNAL', undefined, { cause: error });
}
