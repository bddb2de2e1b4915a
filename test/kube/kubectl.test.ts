/** kubectl through the gateway and directly, against a real Kubernetes. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import type { Result, SessionRow } from '../end-to-end/machine.js';
import { lacking, startKubernetes } from './kubernetes.js';
import type { Kubernetes } from './kubernetes.js';

if (lacking !== null) console.warn(`skipped: ${lacking}`);

const box = (name: string, namespace = 'default'): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: "localhost/busybox:1", imagePullPolicy: Never, command: [sh, -c, "echo started; mkdir /www; head -c 300000 /dev/zero | tr '\\\\0' x > /www/file; httpd -f -p 127.0.0.1:8080 -h /www"]}]
`;

/** The response body of a web server behind a forwarded port. */
function fetched(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    httpGet({ host: '127.0.0.1', port, path, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => resolve(text));
      answer.on('error', reject);
    }).on('error', reject);
  });
}

describe.skipIf(lacking !== null)('kubectl through the gateway', () => {
  let kubernetes: Kubernetes;
  let steno: Steno;
  const through = (...args: readonly string[]): Promise<Result> => steno.exec(kubernetes.kubectl, args);
  const direct = (...args: readonly string[]): Promise<Result> =>
    steno.exec(kubernetes.kubectl, ['--kubeconfig', kubernetes.admin, ...args]);
  const done = async (asked: Promise<Result>): Promise<string> => {
    const { status, stdout, stderr } = await asked;
    if (status !== 0) throw new Error(`${status}: ${stderr}${stdout}\n${steno.logs()}`);
    return stdout;
  };
  const file = (name: string, text: string): string => {
    const path = join(steno.folder, name);
    writeFileSync(path, text);
    return path;
  };
  const rules = async (...allow: readonly object[]): Promise<void> => {
    const path = file('role.json', JSON.stringify({ kind: 'role', name: 'kube', allow: { kubernetes: allow } }));
    await done(steno.steno('apply', '-f', path));
  };
  const everything = { groups: ['system:masters'] };

  beforeAll(async () => {
    steno = new Steno();
    kubernetes = await startKubernetes();
    await steno.start('--no-node', '--kube-listen', '127.0.0.1:0');
    await done(steno.steno('login', '--data', steno.data));
    await rules(everything);
    await done(steno.steno('users', 'edit', steno.login, '--roles', 'admin,kube'));
    await done(steno.steno('login', '--data', steno.data));
    await done(steno.steno('kube', 'add', 'east', '--kubeconfig', kubernetes.admin, '--labels', 'env=dev'));
    await done(steno.steno('kube', 'login', 'east'));
    await done(direct('apply', '-f', file('box.yaml', box('box'))));
    await done(direct('wait', '--for=condition=Ready', 'pod/box', '--timeout=90s'));
  }, 300_000);
  afterAll(async () => {
    await steno?.dispose();
    kubernetes?.close();
  }, 60_000);

  it('is configured in the kubeconfig without a secret, and the cluster is listed', async () => {
    expect(await steno.json('kube', 'ls')).toMatchObject([{ name: 'east', labels: { env: 'dev' } }]);
    const written = readFileSync(join(steno.folder, '.kube/config'), 'utf8');
    expect(written).toContain('client.authentication.k8s.io/v1');
    expect(written).not.toMatch(/PRIVATE|client-key|token:/);
  });

  it.each([
    ['get', 'namespaces', '-o', 'name'],
    ['get', 'pod', 'box', '-o', 'jsonpath={.spec.nodeName}'],
    ['get', 'pods', '-A', '--no-headers', '-o', 'custom-columns=NAME:.metadata.name'],
    ['explain', 'pod.spec.containers.image'],
    ['api-resources', '--no-headers', '-o', 'name'],
    ['version'],
    ['auth', 'can-i', 'delete', 'nodes'],
    ['logs', 'box'],
    ['get', '--raw', '/readyz'],
    ['get', 'pod', 'absent'],
    ['rollout', 'status', 'deployment/absent'],
  ])('prints the same as without the gateway: %s %s %s', async (...args) => {
    const [ours, theirs] = [await through(...args), await direct(...args)];
    expect(ours).toEqual(theirs);
  });

  it('creates, applies, patches, scales, watches and deletes', async () => {
    await done(through('create', 'namespace', 'shop'));
    await done(through('apply', '--server-side', '-f', file('web.yaml', box('web', 'shop'))));
    await done(through('wait', '--for=condition=Ready', 'pod/web', '-n', 'shop', '--timeout=90s'));
    await done(through('label', 'pod', 'web', '-n', 'shop', 'tier=front'));
    expect(await done(direct('get', 'pod', 'web', '-n', 'shop', '-o', 'jsonpath={.metadata.labels.tier}'))).toBe('front');
    await done(through('delete', 'pod', 'web', '-n', 'shop'));
    expect(await done(through('get', 'pods', '-n', 'shop', '-o', 'name'))).toBe('');
  });

  it('appears to the API server as the user and the groups of the role, whatever --as says', async () => {
    const who = JSON.parse(await done(through('auth', 'whoami', '-o', 'json', '--as', 'somebody', '--as-group', 'others'))) as {
      status: { userInfo: { username: string; groups: string[] } };
    };
    expect(who.status.userInfo).toMatchObject({ username: `steno:${steno.login}`, groups: ['system:masters', 'system:authenticated'] });
  });

  it('is refused by the role before the API server is asked', async () => {
    await rules({ ...everything, namespaces: ['shop'], resources: ['pods', 'configmaps'], verbs: ['get', 'list', 'create'] });
    const refusals = await eventually(
      () => Promise.all([through('get', 'secrets'), through('delete', 'pod', 'box'), through('get', 'nodes')]),
      (all) => all.every(({ status }) => status !== 0),
    );
    for (const { stderr } of refusals) expect(stderr).toMatch(/Error from server \(Forbidden\).*no role of .* allows .*\[ACCESS_DENIED\]/);
    expect(await done(through('get', 'pods', '-n', 'shop', '-o', 'name'))).toBe('');
    expect((await through('exec', 'box', '--', 'true')).stderr).toMatch(/ACCESS_DENIED/);
    await rules(everything);
    await eventually(
      () => through('get', 'pods', '-A'),
      ({ status }) => status === 0,
    );
  });

  it('shows the part of a list that roles allow: as tables, JSON and watches', async () => {
    await rules({ ...everything, namespaces: ['default'] });
    const columns = ['--no-headers', '-o', 'custom-columns=NAME:.metadata.name'];
    await eventually(
      () => through('get', 'namespaces', '-o', 'name'),
      ({ stdout }) => stdout === 'namespace/default\n',
    );
    for (const args of [
      ['get', 'configmaps', '-A', ...columns],
      ['get', 'serviceaccounts', '-A', '-o', 'name', '--chunk-size=1'],
      ['get', 'configmaps,serviceaccounts', '-A', '-o', 'name'],
    ]) {
      const [ours, all] = [await through(...args), await direct(...args)];
      const own = await direct(...args.map((word) => (word === '-A' ? '--namespace=default' : word)));
      expect(ours).toEqual(own);
      expect(all.stdout).not.toBe(own.stdout);
    }
    const table = (await through('get', 'pods', '-A', '-o', 'wide')).stdout.trim().split('\n');
    expect(table.map((row) => row.split(/\s+/)[0])).toEqual(['NAMESPACE', 'default']);
    expect((await through('get', 'clusterroles')).stderr).toMatch(/ACCESS_DENIED/);
    const watch = steno.terminal(kubernetes.kubectl, ['get', 'configmaps', '-A', '--watch-only', '-o', 'name']);
    try {
      await done(direct('create', 'configmap', 'hidden', '--namespace=kube-public'));
      // Only its output shows whether the watch has begun.
      let number = 0;
      await eventually(
        async () => {
          await done(direct('create', 'configmap', `shown-${number++}`));
          return watch.text();
        },
        (text) => text.includes('configmap/shown-'),
      );
      await done(direct('create', 'configmap', 'hidden-too', '--namespace=kube-public'));
      await done(direct('create', 'configmap', 'shown-last'));
      await watch.until(/configmap\/shown-last/);
      expect(watch.text()).not.toMatch(/hidden/);
    } finally {
      watch.kill();
      await watch.ended;
    }
    await rules(everything);
    await eventually(
      () => through('get', 'nodes'),
      ({ status }) => status === 0,
    );
  });

  it('refuses requests that cannot be recorded', async () => {
    const refused = await through('get', '--raw', '/api/v1/nodes/node1/proxy');
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/KUBE_UNSUPPORTED/) as string });
  });

  const protocols = [
    ['WebSocket', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'true', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'true' }],
    ['SPDY/3.1', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' }],
  ] as const;

  describe.each(protocols)('over %s', (protocol, env) => {
    const mark = protocol.toLowerCase().replace(/[^a-z]/g, '');
    const both = async (args: readonly string[], input?: string | Buffer): Promise<[Result, Result]> => {
      const options = { env, ...(input === undefined ? {} : { input }) };
      return [
        await steno.exec(kubernetes.kubectl, args, options),
        await steno.exec(kubernetes.kubectl, ['--kubeconfig', kubernetes.admin, ...args], options),
      ];
    };
    /** Removes random identifiers of containerd. */
    const settled = ({ stderr, ...rest }: Result): Result => ({ ...rest, stderr: stderr.replace(/[0-9a-f]{64}/g, '') });

    it.each([
      ['exit code, output and errors', ['exec', 'box', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'], undefined],
      ['input until its end', ['exec', '-i', 'box', '--', 'sha256sum'], 'x'.repeat(1_000_000)],
      ['a command that does not read its input', ['exec', '-i', 'box', '--', 'true'], 'x'.repeat(100_000)],
      ['a megabyte of output', ['exec', 'box', '--', 'sh', '-c', 'yes 0123456789 | head -c 1000000'], undefined],
      ['a signal', ['exec', 'box', '--', 'sh', '-c', 'kill -9 $$'], undefined],
      ['a missing program', ['exec', 'box', '--', 'absent-program'], undefined],
      ['a missing pod', ['exec', 'absent', '--', 'true'], undefined],
      ['a missing container', ['exec', 'box', '-c', 'absent', '--', 'true'], undefined],
      ['a port of a missing pod', ['port-forward', 'pod/absent', ':80'], undefined],
    ] as const)('%s: the same as without the gateway', async (_claim, args, input) => {
      const [ours, theirs] = await both(args, input);
      expect(settled(ours)).toEqual(settled(theirs));
    });

    it('a terminal: keys, size, output, exit code', async () => {
      const shell = steno.terminal(kubernetes.kubectl, ['exec', '-it', 'box', '--', 'sh'], { cols: 100, rows: 30 }, env);
      await shell.until(/# /);
      shell.write(`stty size; echo ${mark}-ter''minal\r`);
      await shell.until(new RegExp(`30 100\r\n${mark}-terminal`));
      shell.write('exit 3\r');
      expect(await shell.ended).toBe(3);
      const hits = await eventually(
        // The event of the request contains these words too.
        () => steno.json<{ session: string }[]>('search', `${mark}-terminal`, 'kind:screen'),
        (found) => found.length > 0,
      );
      const row = (await viewerOf(steno).sessions()).find(({ id }) => id === hits[0]!.session);
      expect(row).toMatchObject({ kind: 'exec', tty: true, node: 'east/default/box', exit_code: 3 });
    });

    it('files with odd names, in both directions', async () => {
      const tree = join(steno.folder, `tree-${mark}`);
      mkdirSync(join(tree, 'a b'), { recursive: true });
      for (const name of ['a b/plain', "quote'", 'ümläut', '-dash', 'star*']) writeFileSync(join(tree, name), name.repeat(10_000));
      const options = { env };
      await done(steno.exec(kubernetes.kubectl, ['cp', tree, `box:/tmp/${mark}`], options));
      const back = join(steno.folder, `back-${mark}`);
      await done(steno.exec(kubernetes.kubectl, ['cp', `box:/tmp/${mark}`, back], options));
      for (const name of ['a b/plain', "quote'", 'ümläut', '-dash', 'star*'])
        expect(readFileSync(join(back, name), 'utf8')).toBe(readFileSync(join(tree, name), 'utf8'));
    });

    it('port-forward: many concurrent connections, each intact, recorded as one session', async () => {
      const forward = steno.terminal(kubernetes.kubectl, ['port-forward', 'pod/box', ':8080'], undefined, env);
      await forward.until(/Forwarding from 127.0.0.1:\d+ -> 8080/);
      const port = Number(/127.0.0.1:(\d+) -> 8080/.exec(forward.text())![1]);
      const bodies = await Promise.all(Array.from({ length: 20 }, (_, i) => fetched(port, `/file?${i}`)));
      expect(new Set(bodies)).toEqual(new Set(['x'.repeat(300_000)]));
      forward.kill();
      await forward.ended;
      const rows = await eventually(
        () => viewerOf(steno).sessions(),
        (all) => all.some(({ kind, state }) => kind === 'forward' && state !== 'live'),
      );
      expect(rows.find(({ kind }) => kind === 'forward')).toMatchObject({ node: 'east/default/box', user: steno.login });
    });
  });

  describe('exec and attach', () => {
    const sessions = async (command: RegExp): Promise<SessionRow> => {
      const found = await eventually(
        () => viewerOf(steno).sessions(),
        (rows) => rows.some((row) => command.test(row.command) && row.state !== 'live'),
      );
      return found.find((row) => command.test(row.command))!;
    };

    it('without a terminal: output, errors, input, half-close and exit code are the same as without the gateway, and recorded', async () => {
      const script = 'cat; echo oops >&2; exit 7';
      const run = (asked: readonly string[]): Promise<Result> =>
        steno.exec(kubernetes.kubectl, [...asked, 'exec', '-i', 'box', '--', 'sh', '-c', script], { input: 'from stdin\n' });
      const [ours, theirs] = [await run([]), await run(['--kubeconfig', kubernetes.admin])];
      expect(ours).toEqual(theirs);
      expect(ours).toMatchObject({ status: 7, stdout: 'from stdin\n' });
      const row = await sessions(/oops/);
      expect(row).toMatchObject({
        kind: 'exec',
        user: steno.login,
        node: 'east/default/box',
        login: `steno:${steno.login}`,
        exit_code: 7,
        tty: false,
      });
      const seen = await eventually(
        () => steno.json<{ session: string; text: string }[]>('search', 'oops', 'kind:screen'),
        (hits) => hits.some(({ session }) => session === row.id),
      );
      expect(seen.find(({ session }) => session === row.id)!.text).toContain('oops');
    });

    it('with a terminal: keys, size and output; a search finds the screen', async () => {
      const shell = steno.terminal(kubernetes.kubectl, ['exec', '-it', 'box', '--', 'sh'], { cols: 100, rows: 30 });
      await shell.until(/# /);
      shell.write("stty size; echo mar''ker-one\r");
      await shell.until(/30 100\r\nmarker-one/);
      shell.write('exit 3\r');
      expect(await shell.ended).toBe(3);
      const hits = await eventually(
        () => steno.json<{ session: string }[]>('search', 'marker-one', 'kind:screen'),
        (found) => found.length > 0,
      );
      const row = (await viewerOf(steno).sessions()).find(({ id }) => id === hits[0]!.session);
      expect(row).toMatchObject({ command: 'sh', tty: true, node: 'east/default/box', exit_code: 3 });
    });

    it('copies files in both directions', async () => {
      const [from, back] = [file('file', 'x'.repeat(300_000)), join(steno.folder, 'back')];
      await done(through('cp', from, 'box:/tmp/file'));
      await done(through('cp', 'box:/tmp/file', back));
      expect(readFileSync(back, 'utf8')).toBe(readFileSync(from, 'utf8'));
    });

    it('a missing pod and a missing command give the same errors as without the gateway', async () => {
      for (const args of [
        ['exec', 'absent', '--', 'true'],
        ['exec', 'box', '--', 'absent-program'],
      ]) {
        const [ours, theirs] = [await through(...args), await direct(...args)];
        expect(ours.status).toBe(theirs.status);
        expect(ours.stderr.replace(/[0-9a-f]{64}/g, '')).toBe(theirs.stderr.replace(/[0-9a-f]{64}/g, ''));
      }
    });

    it('is frozen, unfrozen and ended by the session commands', async () => {
      const shell = steno.terminal(kubernetes.kubectl, ['exec', '-it', 'box', '--', 'sh', '-c', "echo fro''zen-shell; exec sh"]);
      await shell.until(/frozen-shell/);
      const live = await eventually(
        () => viewerOf(steno).sessions(),
        (rows) => rows.some(({ state, command }) => state === 'live' && command.includes('zen-shell')),
      );
      const { id } = live.find(({ state, command }) => state === 'live' && command.includes('zen-shell'))!;
      await done(steno.steno('sessions', 'freeze', id, '--reason', 'look'));
      await shell.until(/is frozen/);
      // The message repeats while typing, at most every five seconds: the second one shows that keys arrived and were discarded.
      await eventually(
        async () => {
          shell.write('touch /tmp/ran-while-frozen\r');
          return shell.text();
        },
        (text) => text.split('is frozen').length > 2,
      );
      await done(steno.steno('sessions', 'unfreeze', id));
      await shell.until(/no longer frozen/);
      shell.write('ls /tmp/ran-while-frozen; echo thawed-$((1+1))\r');
      await shell.until(/thawed-2/);
      expect(shell.text()).toMatch(/ran-while-frozen: No such file/);
      await done(steno.steno('sessions', 'end', id, '--reason', 'enough'));
      await shell.ended;
      expect(shell.text()).toMatch(/enough \[LOCKED\]/);
    });
  });

  it('a removed cluster is gone for kubectl too, until it is added again', async () => {
    await done(steno.steno('kube', 'rm', 'east'));
    await eventually(
      () => through('get', 'pods'),
      ({ stderr }) => stderr.includes('KUBE_CLUSTER_UNKNOWN'),
    );
    await done(steno.steno('kube', 'add', 'east', '--kubeconfig', kubernetes.admin));
    await eventually(
      () => through('get', 'pods'),
      ({ status }) => status === 0,
    );
  });

  it('a lock on the cluster ends open sessions and refuses new ones with its reason', async () => {
    const watch = steno.terminal(kubernetes.kubectl, ['get', 'pods', '--watch']);
    await watch.until(/box/);
    const { id, effects } = await steno.json<{ id: string; effects: { applied: { connections: number }[] } }>(
      'lock',
      '--kube-cluster',
      'east',
      '--reason',
      'incident 7',
    );
    await watch.ended;
    expect(effects.applied[0]!.connections).toBeGreaterThanOrEqual(1);
    expect((await through('get', 'pods')).stderr).toMatch(/incident 7.*\[LOCKED\]/);
    await done(steno.steno('unlock', id));
    await eventually(
      () => through('get', 'pods'),
      ({ status }) => status === 0,
    );
  });

  it('a changed role ends an open watch and refuses later requests', async () => {
    const watch = steno.terminal(kubernetes.kubectl, ['get', 'pods', '--watch']);
    await watch.until(/box/);
    await rules({ ...everything, resources: ['configmaps'] });
    await watch.ended;
    expect((await through('get', 'pods')).stderr).toMatch(/ACCESS_DENIED/);
  });

  it('kubectl exits with an error when the gateway is killed during an exec, and its output is recorded', async () => {
    await rules(everything);
    await eventually(
      () => through('get', 'pod', 'box'),
      ({ status }) => status === 0,
    );
    const shell = steno.terminal(kubernetes.kubectl, ['exec', '-it', 'box', '--', 'sh', '-c', 'echo be$((1))fore-the-kill; exec sh']);
    await shell.until(/be1fore-the-kill/);
    const { processes } = JSON.parse(readFileSync(join(steno.data, 'run.json'), 'utf8')) as { processes: { gateway: number } };
    process.kill(processes.gateway, 'SIGKILL');
    expect(await shell.ended).not.toBe(0);
    const hits = await eventually(
      () => steno.json<{ session: string }[]>('search', 'be1fore-the-kill', 'kind:screen'),
      (found) => found.length > 0,
    );
    const rows = await eventually(
      () => viewerOf(steno).sessions(),
      (all) => all.some(({ id, state }) => id === hits[0]!.session && state !== 'live'),
    );
    expect(rows.find(({ id }) => id === hits[0]!.session)).toMatchObject({ node: 'east/default/box', user: steno.login });
    // The restarted gateway serves as before.
    await eventually(
      () => through('exec', 'box', '--', 'echo', 'again'),
      ({ stdout }) => stdout === 'again\n',
    );
  });

  it('events contain the bodies of writes if a role says so, but not the values of Secrets', async () => {
    const path = file(
      'bodies.json',
      JSON.stringify({ kind: 'role', name: 'kube', allow: { kubernetes: [everything] }, recording: { bodies: 'writes' } }),
    );
    // Deny first: once the request is allowed again, the new role is in force.
    await rules({ ...everything, resources: ['configmaps'] });
    await eventually(
      () => through('get', 'pod', 'box'),
      ({ status }) => status !== 0,
    );
    await done(steno.steno('apply', '-f', path));
    await eventually(
      () => through('get', 'pod', 'box'),
      ({ status }) => status === 0,
    );
    // `kubectl create configmap` would send protobuf, which is recorded as type, size and digest only.
    const seen = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'seen' }, data: { colour: 'mauve-7' } };
    await done(through('apply', '-f', file('seen.json', JSON.stringify(seen))));
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hidden-7' }, stringData: { password: 'correct-horse-7' } };
    const manifest = file('secret.json', JSON.stringify(secret));
    await done(through('apply', '-f', manifest));
    await done(through('apply', '--server-side', '--force-conflicts', '-f', manifest));
    await done(
      through('patch', 'secret', 'hidden-7', '--type=json', '-p', '[{"op":"add","path":"/data/x","value":"Y29ycmVjdC1ob3JzZS03"}]'),
    );
    await done(through('create', 'secret', 'generic', 'hidden-8', '--from-literal=password=correct-horse-7'));
  });

  // Last, because the embedded store belongs to one process at a time.
  it('every request, refused or not, is in the event store under the cluster’s audit id', async () => {
    await steno.stop();
    const store = await openEventStore({ kind: 'chdb', path: join(steno.data, 'store/events') });
    try {
      const { rows } = await store.events({ kinds: ['kube'], session: '', limit: 1000 });
      const about = (name: string, outcome: string) => rows.filter((row) => row.name === name && row.outcome === outcome);
      expect(about('list pods', 'success')[0]).toMatchObject({
        user: steno.login,
        cluster: 'east',
        emitter: 'gateway/local',
        source: 'kubernetes',
      });
      expect(about('list pods', 'failure')[0]).toMatchObject({ reason: 'ACCESS_DENIED' });
      expect(JSON.parse(about('create pods/exec', 'success')[0]!.data)).toMatchObject({
        code: 101,
        audit_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        session: expect.stringMatching(/^[0-9a-z]{26}$/) as string,
      });
      expect(
        about('create configmaps', 'success')
          .map(({ data }) => data)
          .join('\n'),
      ).toContain('mauve-7');
      const secrets = rows.filter(({ name, outcome }) => /^(?:create|patch|update) secrets$/.test(name) && outcome === 'success');
      expect(secrets.map(({ data }) => (JSON.parse(data) as { body: { redacted?: boolean } }).body.redacted)).toEqual(
        secrets.map(() => true),
      );
      expect(secrets.length).toBeGreaterThanOrEqual(4);
      expect(JSON.stringify(rows)).not.toMatch(/correct-horse-7|Y29ycmVjdC1ob3JzZS03/);
      expect(new Set(rows.map(({ block, index }) => `${block} ${index}`)).size).toBe(rows.length);
    } finally {
      await store.close();
    }
  });
});
