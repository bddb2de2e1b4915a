import { describe, expect, it } from 'vitest';
import { typedCommand } from './typed-line.js';

describe('a command behind a prompt', () => {
  it.each([
    ['ann@web-3:~$ cat /etc/shadow', 'cat /etc/shadow'],
    ['root@web-3:/var/log# history -c', 'history -c'],
    ['[ann@web-3 ~]$ ls -la', 'ls -la'],
    ['(venv) ann@web-3:~/x$ pip list', 'pip list'],
    ['bash-5.2$ id', 'id'],
    ['$ id', 'id'],
    ['# id', 'id'],
    ['/etc # cat passwd', 'cat passwd'],
  ])('%s', (text, command) => {
    expect(typedCommand(text)).toBe(command);
  });

  it.each(['total 12', 'ann@web-3:~$', 'ann@web-3:~$   ', 'Price: 5 $ each', 'root:x:0:0:root:/root:/bin/bash', ''])(
    '%s is none',
    (text) => {
      expect(typedCommand(text)).toBeUndefined();
    },
  );
});
