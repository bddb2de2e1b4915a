import { expect, test } from 'vitest';
import { needlesOf } from './needles.js';
import { parseSearch } from './parse.js';

test.each<[string, readonly string[]]>([
  ['shadow user:alice', ['shadow']],
  ['"a b" or kub*ctl', ['a b', 'kub', 'ctl']],
  ['shadow -sudo not (x or y)', ['shadow']],
  ['path:/etc/* dst:10.1.2.3 kind:file', ['/etc/', '10.1.2.3']],
  ['/reg.x/ node:web-1', []],
  ['a a a', ['a']],
])('%s marks %j', (q, needles) => expect(needlesOf(parseSearch(q, 0))).toEqual(needles));
