import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import net.schmizz.sshj.SSHClient;
import net.schmizz.sshj.common.IOUtils;
import net.schmizz.sshj.connection.channel.direct.DirectConnection;
import net.schmizz.sshj.connection.channel.direct.Session;
import net.schmizz.sshj.connection.channel.direct.SessionChannel;
import net.schmizz.sshj.connection.channel.forwarded.RemotePortForwarder;
import net.schmizz.sshj.connection.channel.forwarded.SocketForwardingConnectListener;
import net.schmizz.sshj.sftp.RemoteResourceInfo;
import net.schmizz.sshj.sftp.SFTPClient;
import net.schmizz.sshj.xfer.FileSystemFile;

/** A peer on com.hierynomus:sshj. */
final class SshjPeer extends Peer {
  public static void main(String[] args) throws Exception {
    new SshjPeer().serve();
  }

  @Override
  boolean rekeysAtRest() {
    return true;
  }

  @Override
  Connection connect(boolean agent) throws Exception {
    SSHClient client = new SSHClient();
    client.loadKnownHosts(new File(knownHosts));
    client.connect(host, port);
    try {
      // Finds the certificate beside the key.
      client.authPublickey(user, client.loadKeys(key));
    } catch (IOException problem) {
      client.close();
      throw problem;
    }
    return new Over(client, new HashMap<>());
  }

  private record Over(SSHClient client, Map<Integer, RemotePortForwarder.Forward> forwards) implements Connection {
    @Override
    public Channel exec(String command) throws Exception {
      Session session = client.startSession();
      Session.Command running = session.exec(command);
      return new Opened((SessionChannel) session, running.getOutputStream(), running.getInputStream(), running.getErrorStream());
    }

    @Override
    public Channel shell(int columns, int rows) throws Exception {
      Session session = client.startSession();
      session.allocatePTY("xterm-256color", columns, rows, 0, 0, Map.of());
      Session.Shell running = session.startShell();
      return new Opened((SessionChannel) session, running.getOutputStream(), running.getInputStream(), null);
    }

    @Override
    public Channel direct(String to, int toPort) throws Exception {
      return new Forwarded(client.newDirectConnection(to, toPort));
    }

    @Override
    public int listen(int localPort) throws Exception {
      RemotePortForwarder.Forward forward = client.getRemotePortForwarder().bind(
          new RemotePortForwarder.Forward("127.0.0.1", 0), new SocketForwardingConnectListener(new InetSocketAddress("127.0.0.1", localPort)));
      forwards.put(forward.getPort(), forward);
      return forward.getPort();
    }

    @Override
    public void unlisten(int allocated) throws Exception {
      client.getRemotePortForwarder().cancel(forwards.get(allocated));
    }

    @Override
    public FileClient files() throws Exception {
      return new Remote(client.newSFTPClient());
    }

    @Override
    public void rekey() throws Exception {
      client.rekey();
    }

    @Override
    public void close() throws Exception {
      client.disconnect();
    }
  }

  private record Opened(SessionChannel channel, OutputStream in, InputStream out, InputStream err) implements Channel {
    @Override
    public void resize(int columns, int rows) throws Exception {
      channel.changeWindowDimensions(columns, rows, 0, 0);
    }

    @Override
    public int exit() throws Exception {
      channel.join();
      return channel.getExitStatus();
    }

    @Override
    public void close() throws Exception {
      channel.close();
    }
  }

  private record Forwarded(DirectConnection channel) implements Channel {
    @Override
    public OutputStream in() {
      return channel.getOutputStream();
    }

    @Override
    public InputStream out() {
      return channel.getInputStream();
    }

    @Override
    public InputStream err() {
      return null;
    }

    @Override
    public void resize(int columns, int rows) {
      throw new UnsupportedOperationException();
    }

    @Override
    public int exit() {
      throw new UnsupportedOperationException();
    }

    @Override
    public void close() {
      IOUtils.closeQuietly(channel);
    }
  }

  private record Remote(SFTPClient client) implements FileClient {
    @Override
    public void mkdir(String path) throws Exception {
      client.mkdir(path);
    }

    @Override
    public void put(String local, String path) throws Exception {
      client.put(new FileSystemFile(local), path);
    }

    @Override
    public void get(String path, String local) throws Exception {
      client.get(path, new FileSystemFile(local));
    }

    @Override
    public void rename(String from, String to) throws Exception {
      client.rename(from, to);
    }

    @Override
    public void symlink(String target, String path) throws Exception {
      // The library sends its two arguments in the order that they are given in, and OpenSSH's order is target first.
      client.symlink(target, path);
    }

    @Override
    public String readlink(String path) throws Exception {
      return client.readlink(path);
    }

    @Override
    public List<String> list(String path) throws Exception {
      return client.ls(path).stream().map(RemoteResourceInfo::getName).toList();
    }

    @Override
    public long size(String path) throws Exception {
      return client.size(path);
    }

    @Override
    public void remove(String path) throws Exception {
      client.rm(path);
    }

    @Override
    public void rmdir(String path) throws Exception {
      client.rmdir(path);
    }

    @Override
    public void close() throws Exception {
      client.close();
    }
  }
}
