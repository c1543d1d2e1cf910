/**
 * A minimal client for a room: it uses only the six messages that every client must know, and ignores all others.
 */

/**
 * Runs in the page.
 * @param {string} room
 */
export async function runMinimalClient(room) {
  window.minimalConnections = {};
  window.minimalErrors = 0;
  const connections = window.minimalConnections;
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 160, height: 120, frameRate: 10 } });
  const socket = new WebSocket(`ws://${location.host}/ws?room=${room}`);
  const send = (type, targetId, payload) => socket.send(JSON.stringify({ type, targetId, payload }));
  const connectionTo = (id) => {
    if (connections[id] !== undefined) return connections[id];
    const connection = new RTCPeerConnection();
    connections[id] = connection;
    for (const track of media.getTracks()) connection.addTrack(track, media);
    connection.onicecandidate = ({ candidate }) => {
      if (candidate) send("ice-candidate", id, { candidate });
    };
    connection.ontrack = ({ streams: [stream] }) => {
      const video = document.createElement("video");
      video.srcObject = stream;
      document.body.append(video);
      video.play().catch(() => {});
    };
    return connection;
  };
  const offer = async (id) => {
    const connection = connectionTo(id);
    await connection.setLocalDescription(await connection.createOffer());
    send("offer", id, { sdp: connection.localDescription });
  };
  const handlers = {
    "init-peers": ({ peerIds }) => Promise.all(peerIds.map(offer)),
    "new-peer": ({ id }) => { connectionTo(id); },
    "peer-disconnect": ({ id }) => {
      connections[id]?.close();
      delete connections[id];
    },
    offer: async ({ senderId, sdp }) => {
      const connection = connectionTo(senderId);
      await connection.setRemoteDescription(new RTCSessionDescription(sdp));
      await connection.setLocalDescription(await connection.createAnswer());
      send("answer", senderId, { sdp: connection.localDescription });
    },
    answer: ({ senderId, sdp }) => connections[senderId].setRemoteDescription(new RTCSessionDescription(sdp)),
    "ice-candidate": ({ senderId, candidate }) => connections[senderId].addIceCandidate(new RTCIceCandidate(candidate)),
  };
  socket.onmessage = async ({ data }) => {
    const { type, payload } = JSON.parse(data);
    try {
      await handlers[type]?.(payload);
    } catch (error) {
      window.minimalErrors += 1;
      console.error(String(error));
    }
  };
}
