"""Plays a station with aiortc: aiortc_player.py URL ORDER POLICY FILE, as gstreamer.py."""
import asyncio
import sys

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from whep import SECONDS, post_offer


async def main(url, order, policy, path):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy(policy)))
    listening = []

    @connection.on("track")
    def on_track(track):
        if track.kind == "audio":
            listening.append(asyncio.ensure_future(listen(track, path)))

    for kind in order.split(","):
        connection.addTransceiver(kind, direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    answer = await asyncio.to_thread(post_offer, url, connection.localDescription.sdp)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.sleep(SECONDS)
    for task in listening:
        task.cancel()
    await connection.close()


async def listen(track, path):
    with open(path, "wb") as file:
        while True:
            frame = await track.recv()
            file.write(bytes(frame.planes[0])[: frame.samples * 4])


asyncio.run(main(*sys.argv[1:]))
