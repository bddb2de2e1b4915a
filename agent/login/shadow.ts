/**
 * What shadow(5) says of an account, on machines without PAM, as sshd reads it there: a locked password, an account that
 * has expired, a password that has. Tested as a table in shadow.test.ts.
 */

/** Why not, in words for the user; null: it may. `line`: of getent(1), null where there is no entry. `today`: days since 1970. */
export function judgeShadow(line: string | null, today: number): string | null {
  if (line === null) return null;
  const fields = line.split(':');
  if (fields.length !== 9) return 'The account cannot be checked now.';
  const [, password = '', changed, , most, , grace, expires] = fields;
  if (password.startsWith('!')) return 'Your account is locked.';
  const numbers = [changed, most, grace, expires].map(numberOf);
  if (numbers.some((number) => number === undefined)) return 'The account cannot be checked now.';
  const [changedOn, mostDays, , expiresOn] = numbers as readonly (number | null)[];
  // Of a date, 0 is one; of a change, 0 means that it is due.
  if (expiresOn !== null && expiresOn !== undefined && today >= expiresOn) return 'Your account has expired.';
  if (changedOn === 0) return 'Your password must be changed first.';
  if (changedOn !== null && changedOn !== undefined && mostDays !== null && mostDays !== undefined && today > changedOn + mostDays)
    return 'Your password has expired.';
  return null;
}

/** Null: not set. Undefined: no number. */
function numberOf(text: string | undefined): number | null | undefined {
  if (text === undefined || text === '' || text === '-1') return null;
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
