import { describe, expect, test } from 'vitest';
import { ECHO_MS, EchoGuard, looksLikeSecretPrompt } from './echo.js';
import type { Released } from './echo.js';

type Step = readonly ['type' | 'show', string] | readonly ['wait', number];

/** Runs a dialogue; `chars` feeds it character by character. Gaps are written as `#`. */
function dialogue(steps: readonly Step[], chars = false): string {
  const guard = new EchoGuard();
  let now = 0;
  const out: Buffer[] = [];
  const take = (released: readonly Released[]): void => {
    for (const item of released) if (item.kind !== 'hidden') out.push(item.kind === 'gap' ? Buffer.from('#') : item.bytes);
  };
  for (const [what, value] of steps) {
    if (what === 'wait') {
      now += value as number;
      take(guard.expire(now));
      continue;
    }
    const pieces = chars ? [...Buffer.from(value as string)].map((byte) => Buffer.from([byte])) : [Buffer.from(value as string)];
    for (const piece of pieces) take(what === 'type' ? guard.typed(piece, now) : guard.shown(piece));
  }
  take(guard.end());
  return Buffer.concat(out).toString();
}

const cases: readonly (readonly [string, readonly Step[], string])[] = [
  [
    'an echoed line is kept',
    [
      ['show', '$ '],
      ['type', 'ls'],
      ['show', 'ls'],
      ['type', '\r'],
      ['show', '\r\n'],
    ],
    'ls\r',
  ],
  [
    'keys are kept one by one',
    [
      ['type', 'l'],
      ['show', 'l'],
      ['type', 's'],
      ['show', 's'],
    ],
    'ls',
  ],
  [
    'a pasted line is kept with its newline',
    [
      ['type', 'ls -l\r'],
      ['show', 'ls -l\r\n'],
    ],
    'ls -l\r',
  ],
  [
    'characters not echoed before the newline are one gap',
    [
      ['type', 'hunter2\r'],
      ['show', '\r\n'],
    ],
    '#\r',
  ],
  [
    'silence hides, and further characters of the line make no second gap',
    [
      ['type', 'hun'],
      ['wait', ECHO_MS],
      ['type', 'ter'],
      ['wait', ECHO_MS],
      ['type', '2\r'],
    ],
    '#\r',
  ],
  [
    'a password prompt hides at once, even if characters are echoed',
    [
      ['show', 'Password: '],
      ['type', 'se'],
      ['show', 'se'],
      ['type', 'cret\r'],
      ['show', '\r\n'],
      ['type', 'ls'],
      ['show', 'ls'],
    ],
    '#\rls',
  ],
  [
    'backspace and arrows in a hidden run are hidden too',
    [
      ['show', 'PIN: '],
      ['type', '12\x7f3\x1b[D4\r'],
    ],
    '#\r',
  ],
  [
    'stars are not an echo',
    [
      ['show', 'code? '],
      ['type', 'abc'],
      ['show', '***'],
      ['type', '\r'],
    ],
    '#\r',
  ],
  [
    'a prompt that comes after the type-ahead hides it',
    [
      ['type', 'Passw0rd'],
      ['show', 'Password: '],
      ['type', '\r'],
    ],
    '#\r',
  ],
  [
    'type-ahead that the terminal echoed is kept: it was seen',
    [
      ['type', 'ls'],
      ['show', 'ls'],
      ['show', '\r\nout\r\n$ ls'],
    ],
    'ls',
  ],
  [
    'control characters need no echo',
    [
      ['type', '\x1b[A'],
      ['type', '\x03'],
      ['type', '\t'],
    ],
    '\x1b[A\x03\t',
  ],
  [
    'colours between echoed characters do not matter',
    [
      ['type', 'ls'],
      ['show', '\x1b[32ml\x1b[0m\x1b]0;title\x07s'],
    ],
    'ls',
  ],
  [
    'a redraw after backspaces is skipped',
    [
      ['type', 'l'],
      ['show', 'l'],
      ['type', 's'],
      ['show', '\b\x1b[1mls'],
    ],
    'ls',
  ],
  [
    'other output first is a mismatch',
    [
      ['type', 'q'],
      ['show', 'abcq'],
      ['type', '\r'],
    ],
    '#\r',
  ],
  [
    'non-ASCII characters are echoed as bytes',
    [
      ['type', 'grün'],
      ['show', 'grün'],
    ],
    'grün',
  ],
  [
    '^C ends a hidden run',
    [
      ['show', 'Passwort: '],
      ['type', 'ge\x03'],
      ['type', 'ls'],
      ['show', '\r\n$ ls'],
    ],
    '#\x03#',
  ],
  [
    'an escape key ends a hidden run if there was no prompt',
    [
      ['type', 'dd'],
      ['wait', ECHO_MS],
      ['type', '\x1b'],
      ['type', 'x'],
      ['show', 'x'],
    ],
    '#\x1bx',
  ],
  ['the end hides pending input', [['type', 'secret']], '#'],
  ['too much input without echo is hidden', [['type', 'x'.repeat(20_000)]], '#'],
];

describe('typed input', () => {
  for (const [name, steps, expected] of cases) test(name, () => expect(dialogue(steps)).toBe(expected));
  for (const [name, steps, expected] of cases) {
    test(`${name}, byte by byte`, () => expect(dialogue(steps, true)).toBe(expected));
  }
});

test('prompts for secrets are recognized, and other lines are not', () => {
  for (const prompt of [
    'Password: ',
    '[sudo] password for alice: ',
    "alice@host's password: ",
    "Enter passphrase for key '/root/.ssh/id': ",
    "Enter PIN for 'token': ",
    'Verification code: ',
    "One-time password (OATH) for `alice': ",
    'New password: ',
    'Retype new password: ',
    '\x1b[1mPasswort:\x1b[0m ',
    'Contraseña: ',
    'Mot de passe : ',
    'пароль: ',
    '密码：',
    'パスワード:',
    'Vault token: ',
    'Secret key: ',
    'Enter password ',
    'Is the passcode right? ',
  ])
    expect([prompt, looksLikeSecretPrompt(prompt)]).toEqual([prompt, true]);
  for (const line of ['alice@web-1:~$ ', 'ls passwords', 'total 12', '', 'spinning: ', 'cat /etc/passwd', 'root@secret-1:~# ']) {
    expect([line, looksLikeSecretPrompt(line)]).toEqual([line, false]);
  }
});
