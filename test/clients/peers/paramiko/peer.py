"""A peer on paramiko. What it understands is in ../PROTOCOL.md."""
import os
import sys
import threading
import time
from urllib.parse import quote, unquote

import paramiko


def say(*words):
    print(' '.join([words[0], *(quote(str(word), safe='') for word in words[1:])]), flush=True)


def content(path):
    with open(path, 'rb') as file:
        return file.read()


def connect(auth):
    client = paramiko.SSHClient()
    client.load_host_keys(os.environ['PEER_KNOWN_HOSTS'])
    where = dict(hostname=os.environ['PEER_HOST'], port=int(os.environ['PEER_PORT']), username=os.environ['PEER_USER'], look_for_keys=False)
    if auth == 'agent':
        client.connect(**where, allow_agent=True)
    else:
        key = paramiko.Ed25519Key.from_private_key_file(os.environ['PEER_KEY'])
        key.load_certificate(os.environ['PEER_KEY'] + '-cert.pub')
        client.connect(**where, pkey=key, allow_agent=False)
    return client


def run(client, command, given, out):
    stdin, stdout, stderr = client.exec_command(command)
    channel = stdout.channel

    def send():
        channel.sendall(content(given))
        channel.shutdown_write()

    errors = bytearray()
    threads = [threading.Thread(target=send), threading.Thread(target=lambda: errors.extend(stderr.read()))]
    for thread in threads:
        thread.start()
    printed = stdout.read()
    for thread in threads:
        thread.join()
    for name, data in (('stdout', printed), ('stderr', errors)):
        with open(os.path.join(out, name), 'wb') as file:
            file.write(data)
    say('exit', channel.recv_exit_status())


def rekey(client, given, out):
    """Keys are exchanged while nothing is on its way: with both directions full, paramiko waits for itself."""
    stdin, stdout, stderr = client.exec_command('cat')
    channel = stdout.channel
    data, printed = content(given), bytearray()
    for start in range(0, len(data), 1 << 20):
        piece = data[start:start + (1 << 20)]
        sender = threading.Thread(target=channel.sendall, args=(piece,))
        sender.start()
        while len(printed) < start + len(piece):
            chunk = channel.recv(65536)
            if not chunk:
                raise EOFError('the command ended early')
            printed += chunk
        sender.join()
        client.get_transport().renegotiate_keys()
    channel.shutdown_write()
    printed += stdout.read()
    for name, output in (('stdout', printed), ('stderr', stderr.read())):
        with open(os.path.join(out, name), 'wb') as file:
            file.write(output)
    say('exit', channel.recv_exit_status())


def shell(client, out):
    channel = client.invoke_shell('xterm-256color', 80, 24)
    channel.sendall(b'stty size; read line; stty size; exit 5\n')
    printed, changed = b'', False
    while chunk := channel.recv(4096):
        printed += chunk
        if not changed and b'24 80' in printed:
            changed = True
            channel.resize_pty(132, 43)
            channel.sendall(b'\n')
    with open(os.path.join(out, 'stdout'), 'wb') as file:
        file.write(printed)
    say('exit', channel.recv_exit_status())


def two(client, first, second, out):
    channels = [client.exec_command(content(file))[1] for file in (first, second)]
    for number, stdout in enumerate(channels, 1):
        with open(os.path.join(out, f'stdout{number}'), 'wb') as file:
            file.write(stdout.read())
    say('exit', *(stdout.channel.recv_exit_status() for stdout in channels))


def local(client, host, port, given, out):
    channel = client.get_transport().open_channel('direct-tcpip', (host, int(port)), ('127.0.0.1', 0))

    def send():
        channel.sendall(content(given))
        channel.shutdown_write()

    thread = threading.Thread(target=send)
    thread.start()
    with open(os.path.join(out, 'stdout'), 'wb') as file:
        while chunk := channel.recv(65536):
            file.write(chunk)
    thread.join()
    channel.close()


def remote(client):
    transport = client.get_transport()
    port = transport.request_port_forward('127.0.0.1', 0)
    say('port', port)
    channel = transport.accept(30)
    while chunk := channel.recv(65536):
        channel.sendall(chunk)
    channel.shutdown_write()
    channel.close()
    transport.cancel_port_forward('127.0.0.1', port)


def operate(sftp, verb, path, other=None):
    if verb == 'mkdir':
        sftp.mkdir(path)
    elif verb == 'put':
        sftp.put(path, other)
    elif verb == 'get':
        sftp.get(path, other)
    elif verb == 'rename':
        sftp.rename(path, other)
    elif verb == 'symlink':
        sftp.symlink(path, other)
    elif verb == 'readlink':
        say('target', sftp.readlink(path))
    elif verb == 'list':
        for name in sftp.listdir(path):
            say('name', name)
    elif verb == 'size':
        say('size', sftp.stat(path).st_size)
    elif verb == 'remove':
        sftp.remove(path)
    elif verb == 'rmdir':
        sftp.rmdir(path)


def script(client, file):
    sftp = client.open_sftp()
    for line in content(file).decode().splitlines():
        try:
            operate(sftp, *(unquote(word) for word in line.split(' ')))
            say('ok')
        except Exception as problem:
            say('error', problem)
    sftp.close()


def answer(auth, verb, args):
    client = connect(auth)
    try:
        if verb == 'rekey':
            rekey(client, *args)
        elif verb == 'exec':
            run(client, content(args[0]), *args[1:])
        elif verb == 'sftp':
            script(client, *args)
        else:
            {'shell': shell, 'two': two, 'local': local, 'remote': remote}[verb](client, *args)
    finally:
        client.close()


for request in sys.stdin:
    auth, verb, *args = (unquote(word) for word in request.rstrip('\n').split(' '))
    try:
        answer(auth, verb, args)
        say('done')
    except Exception as problem:
        say('failed', f'{type(problem).__name__}: {problem}')
