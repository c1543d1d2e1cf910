#!/usr/bin/python3
"""Plays a station with GStreamer's webrtcbin: gstreamer.py URL ORDER POLICY FILE

ORDER is the kinds of the offer's sections, as audio,video; POLICY one of webrtcbin's bundle policies. What was heard for
SECONDS is written to FILE as signed 16-bit samples, 48 kHz, two channels.
"""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from whep import SECONDS, post_offer  # noqa: E402

CAPS = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000",
    "video": "application/x-rtp,media=video,encoding-name=VP8,payload=97,clock-rate=90000",
}


def main(url, order, policy, path):
    Gst.init(None)
    pipeline = Gst.Pipeline.new(None)
    webrtc = Gst.ElementFactory.make("webrtcbin")
    webrtc.set_property("bundle-policy", getattr(GstWebRTC.WebRTCBundlePolicy, policy.replace("-", "_").upper()))
    pipeline.add(webrtc)
    loop = GLib.MainLoop()

    def on_pad(_, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        sink = Gst.parse_bin_from_description(
            "rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=2 ! "
            f"filesink location={path}",
            True,
        )
        pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def on_offer(promise, *_):
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        text = offer.sdp.as_text()
        webrtc.emit("set-local-description", offer, Gst.Promise.new())
        _, sdp = GstSdp.SDPMessage.new_from_text(post_offer(url, text))
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        webrtc.emit("set-remote-description", answer, Gst.Promise.new())

    def on_message(_, message):
        if message.type == Gst.MessageType.ERROR:
            print(message.parse_error(), file=sys.stderr)
            loop.quit()

    webrtc.connect("pad-added", on_pad)
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", on_message)
    pipeline.set_state(Gst.State.PLAYING)
    for kind in order.split(","):
        caps = Gst.Caps.from_string(CAPS[kind])
        webrtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)
    webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(on_offer))
    GLib.timeout_add(int(SECONDS * 1000), loop.quit)
    loop.run()
    pipeline.set_state(Gst.State.NULL)


main(*sys.argv[1:])
