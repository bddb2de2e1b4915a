/**
 * Evaluates shadow(5) on machines without PAM, as sshd does: locked passwords, expired accounts, expired passwords. Tested
 * as a table in shadow.test.ts.
 */

/**
 * The reason for refusal, in words for the user; null if allowed. `line`: from getent(1), null if there is no entry.
 * `today`: days since 1970.
 */
export function judgeShadow(line: string | null, today: number): string | null {
  if (line === null) return null;
  const fields = line.split(':');
  if (fields.length !== 9) return 'The account cannot be checked now.';
  const [, password = '', changed, , most, , grace, expires] = fields;
  if (password.startsWith('!')) return 'Your account is locked.';
  const numbers = [changed, most, grace, expires].map(numberOf);
  if (numbers.some((number) => number === undefined)) return 'The account cannot be checked now.';
  const [changedOn, mostDays, , expiresOn] = numbers as readonly (number | null)[];
  // 0 is a valid expiry date; as the last change, 0 means that a change is due.
  if (expiresOn !== null && expiresOn !== undefined && today >= expiresOn) return 'Your account has expired.';
  if (changedOn === 0) return 'Your password must be changed first.';
  if (changedOn !== null && changedOn !== undefined && mostDays !== null && mostDays !== undefined && today > changedOn + mostDays)
    return 'Your password has expired.';
  return null;
}

/** Null: not set. Undefined: not a number. */
function numberOf(text: string | undefined): number | null | undefined {
  if (text === undefined || text === '' || text === '-1') return null;
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
