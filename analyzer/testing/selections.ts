/**
 * Selections with command lines that each matches and does not match: the Sigma specification's modifiers, as data.
 * `sigma/rule.test.ts` runs them here, and test/peers/sigma.test.ts with pySigma.
 */
const b64 = (text: string): string => Buffer.from(text).toString('base64');

export type SelectionCase = readonly [what: string, selection: string, takes: readonly string[], leaves: readonly string[]];

export const selections: readonly SelectionCase[] = [
  ['a text is the whole, without regard to case', 'CommandLine: Cat x', ['cat x', 'CAT X'], ['cat xy', 'a cat x']],
  ['wildcards', 'CommandLine: cat * /etc/?asswd', ['cat -n /etc/passwd'], ['cat /etc/passwd', 'cat -n /etc/sswd']],
  ['an escaped wildcard', 'CommandLine: rm \\*', ['rm *'], ['rm x']],
  ['a list is any of it', 'CommandLine:\n  - a\n  - b', ['a', 'b'], ['ab']],
  ['a map is all of it', 'CommandLine|startswith: a\nCommandLine|endswith: z', ['a-z', 'az'], ['a', 'z', 'xaz']],
  ['a list of maps is any of them', '- CommandLine: a\n- CommandLine: b', ['a', 'b'], ['c']],
  ['contains', 'CommandLine|contains: B', ['abc'], ['ac']],
  ['contains all', 'CommandLine|contains|all:\n  - a\n  - b', ['ba'], ['a', 'b']],
  ['startswith', 'CommandLine|startswith: ab', ['abc'], ['xab']],
  ['endswith', 'CommandLine|endswith: bc', ['abc'], ['bcd']],
  ['cased', 'CommandLine|contains|cased: Ab', ['xAb'], ['xab']],
  ['neq', 'CommandLine|neq:\n  - a\n  - b', ['c', 'ab'], ['a', 'B']],
  ['neq with contains', 'CommandLine|contains|neq: a', ['b'], ['ba']],
  ['re, which has a case', "CommandLine|re: '^a[0-9]+$'", ['a12'], ['A12', 'xa12', 'a']],
  ['re with a flag', "CommandLine|re|i: '^a[0-9]+$'", ['a12', 'A12'], ['a']],
  ['base64', 'CommandLine|base64|contains: "ab\\n"', [`x ${b64('ab\n')}`], [b64('ab')]],
  ['base64offset', 'CommandLine|base64offset|contains: /bin/sh', [b64('x/bin/sh -i'), b64('xy/bin/sh'), b64('/bin/sh')], [b64('/bin/ba')]],
  [
    'wide and base64offset',
    'CommandLine|wide|base64offset|contains: whoami',
    [Buffer.from('xwhoami', 'utf16le').toString('base64')],
    [b64('whoami')],
  ],
  ['utf16be and base64', 'CommandLine|utf16be|base64: ab', ['AGEAYg=='], ['YQBiAA==']],
  ['windash, before contains', 'CommandLine|windash|contains: " -enc "', ['p -enc x', 'p /enc x', 'p \u2014enc x'], ['p enc x']],
  ['exists', 'CommandLine|exists: true', ['a'], ['']],
  ['does not exist', 'CommandLine|exists: false', [''], ['a']],
  ['null', 'CommandLine: null', [''], ['a']],
  ['the empty text', "CommandLine: ''", [''], ['a']],
  ['a keyword is anywhere', '- shadow', ['cat /etc/SHADOW'], ['cat']],
  ['keywords are any of them', '- a\n- b', ['xa', 'xb'], ['x']],
  ['all keywords', "'|all':\n  - a\n  - b", ['ab'], ['a']],
  ['a keyword with a wildcard', '- a*z', ['x a1z y'], ['za']],
  ['an expression as keyword', "'|re': '^a.$'", ['ab'], ['abc']],
  ['a number', 'CommandLine: 42', ['42'], ['4']],
  ['true', 'CommandLine: true', ['TRUE'], ['false']],
];
