"""A peer on asyncssh. What it understands is in ../PROTOCOL.md."""
import asyncio
import os
import sys
from urllib.parse import quote, unquote

import asyncssh


def say(*words):
    print(' '.join([words[0], *(quote(str(word), safe='') for word in words[1:])]), flush=True)


def content(path):
    with open(path, 'rb') as file:
        return file.read()


def write(out, name, data):
    with open(os.path.join(out, name), 'wb') as file:
        file.write(data)


def connect(auth, rekey_bytes):
    options = dict(port=int(os.environ['PEER_PORT']), username=os.environ['PEER_USER'], known_hosts=os.environ['PEER_KNOWN_HOSTS'], config=None, rekey_bytes=rekey_bytes)
    if auth == 'agent':
        options.update(agent_path=os.environ['SSH_AUTH_SOCK'])
    else:
        options.update(agent_path=None, client_keys=[(os.environ['PEER_KEY'], os.environ['PEER_KEY'] + '-cert.pub')])
    return asyncssh.connect(os.environ['PEER_HOST'], **options)


async def run(connection, command, given, out):
    result = await connection.run(command, input=content(given), encoding=None)
    write(out, 'stdout', result.stdout)
    write(out, 'stderr', result.stderr)
    say('exit', result.exit_status)


async def shell(connection, out):
    process = await connection.create_process(term_type='xterm-256color', term_size=(80, 24), encoding=None)
    process.stdin.write(b'stty size; read line; stty size; exit 5\n')
    printed, changed = b'', False
    while chunk := await process.stdout.read(4096):
        printed += chunk
        if not changed and b'24 80' in printed:
            changed = True
            process.change_terminal_size(132, 43)
            process.stdin.write(b'\n')
    await process.wait_closed()
    write(out, 'stdout', printed)
    say('exit', process.exit_status)


async def two(connection, first, second, out):
    results = await asyncio.gather(*(connection.run(content(file).decode(), encoding=None) for file in (first, second)))
    for number, result in enumerate(results, 1):
        write(out, f'stdout{number}', result.stdout)
    say('exit', *(result.exit_status for result in results))


async def local(connection, host, port, given, out):
    reader, writer = await connection.open_connection(host, int(port), encoding=None)

    async def send():
        writer.write(content(given))
        await writer.drain()
        writer.write_eof()

    _, back = await asyncio.gather(send(), reader.read())
    writer.close()
    write(out, 'stdout', back)


async def remote(connection):
    over = asyncio.get_running_loop().create_future()

    async def echo(reader, writer):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
        writer.close()
        await writer.wait_closed()
        over.set_result(None)

    listener = await connection.start_server(lambda host, port: echo, '127.0.0.1', 0, encoding=None)
    say('port', listener.get_port())
    await over
    listener.close()
    await listener.wait_closed()


async def operate(sftp, verb, path, other=None):
    if verb == 'mkdir':
        await sftp.mkdir(path)
    elif verb == 'put':
        await sftp.put(path, other)
    elif verb == 'get':
        await sftp.get(path, other)
    elif verb == 'rename':
        await sftp.rename(path, other)
    elif verb == 'symlink':
        await sftp.symlink(path, other)
    elif verb == 'readlink':
        say('target', await sftp.readlink(path))
    elif verb == 'list':
        for name in await sftp.listdir(path):
            if name not in ('.', '..'):
                say('name', name)
    elif verb == 'size':
        say('size', (await sftp.stat(path)).size)
    elif verb == 'remove':
        await sftp.remove(path)
    elif verb == 'rmdir':
        await sftp.rmdir(path)


async def script(connection, file):
    async with connection.start_sftp_client() as sftp:
        for line in content(file).decode().splitlines():
            try:
                await operate(sftp, *(unquote(word) for word in line.split(' ')))
                say('ok')
            except Exception as problem:
                say('error', problem)


async def answer(auth, verb, args):
    async with connect(auth, 1 << 20 if verb == 'rekey' else 1 << 30) as connection:
        if verb == 'rekey':
            await run(connection, 'cat', *args)
        elif verb == 'exec':
            await run(connection, content(args[0]).decode(), *args[1:])
        else:
            await {'shell': shell, 'two': two, 'local': local, 'remote': remote, 'sftp': script}[verb](connection, *args)


for request in sys.stdin:
    auth, verb, *args = (unquote(word) for word in request.rstrip('\n').split(' '))
    try:
        asyncio.run(answer(auth, verb, args))
        say('done')
    except Exception as problem:
        say('failed', f'{type(problem).__name__}: {problem}')
