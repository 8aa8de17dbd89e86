"""Writes golden/taskonomy_tf: a tiny Taskonomy encoder built and saved by TensorFlow itself.

    python -m venv /tmp/tfvenv && /tmp/tfvenv/bin/pip install tensorflow-cpu
    /tmp/tfvenv/bin/python tests/golden/make_taskonomy_tf.py

The network is written here from the description of TF-slim's `resnet_v1` (strides in a block's last
unit, `conv2d_same`, max-pooling with "SAME") under the variable names of the published checkpoints,
with Adam's slots, a step, and a decoder's kernel beside it. Made with TensorFlow 2.21.0.
"""

import pathlib

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent / "taskonomy_tf"
STEM, WIDTHS, UNITS, STRIDES, FEATURES = 3, (1, 2, 2, 3), (2, 2, 1, 2), (2, 2, 1, 1), 8
tf1 = tf.compat.v1
tf1.disable_eager_execution()
draws = np.random.default_rng(7)


def variable(name, value):
    return tf1.get_variable(name, initializer=np.asarray(value, np.float32))


def conv_norm(x, scope, n_out, size, stride=1):
    n_in = int(x.shape[-1])
    shape = (size, size, n_in, n_out)
    kernel = draws.normal(size=shape) * np.sqrt(2 / (size * size * n_in))
    kernel = variable(f"{scope}/weights", kernel)
    bn = f"{scope}/BatchNorm"
    beta = variable(f"{bn}/beta", draws.normal(size=n_out) * 0.3)
    gamma = variable(f"{bn}/gamma", draws.uniform(0.5, 1.5, n_out))
    mean = variable(f"{bn}/moving_mean", draws.normal(size=n_out) * 0.3)
    var = variable(f"{bn}/moving_variance", draws.uniform(0.5, 1.5, n_out))
    if stride > 1:  # conv2d_same
        pad = [(size - 1) // 2, size - 1 - (size - 1) // 2]
        x = tf.pad(x, [[0, 0], pad, pad, [0, 0]])
    y = tf.nn.conv2d(x, kernel, strides=stride, padding="VALID" if stride > 1 else "SAME")
    return tf.nn.batch_normalization(y, mean, var, beta, gamma, 1e-5)


def encoder(x, scope):
    x = tf.nn.relu(conv_norm(x, f"{scope}encoder/conv1", STEM, 7, 2))
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    for b, (width, units, last) in enumerate(zip(WIDTHS, UNITS, STRIDES, strict=True), 1):
        for u in range(1, units + 1):
            stride, n_out = (last if u == units else 1), 4 * width
            name = f"{scope}encoder/block{b}/unit_{u}/bottleneck_v1"
            if int(x.shape[-1]) == n_out:
                shortcut = tf.nn.max_pool2d(x, 1, stride, "SAME")
            else:
                shortcut = conv_norm(x, f"{name}/shortcut", n_out, 1, stride)
            y = tf.nn.relu(conv_norm(x, f"{name}/conv1", width, 1))
            y = tf.nn.relu(conv_norm(y, f"{name}/conv2", width, 3, stride))
            x = tf.nn.relu(shortcut + conv_norm(y, f"{name}/conv3", n_out, 1))
    return tf.nn.relu(conv_norm(x, f"{scope}compress1", FEATURES, 3))


def main():
    HERE.mkdir(exist_ok=True)
    arrays = {}
    for name, scope, channels in (("pixels", "", 3), ("feedforward", "feedforward/", 1)):
        with tf.Graph().as_default(), tf1.Session() as session:
            # 64 pixels, and a size at which TensorFlow's and PyTorch's max-pooling differ.
            feeds = {s: tf1.placeholder(tf.float32, (1, s, s, channels)) for s in (64, 50)}
            with tf1.variable_scope("", reuse=tf1.AUTO_REUSE):
                state = draws.bit_generator.state
                out = {}
                for size, feed in feeds.items():
                    draws.bit_generator.state = state  # the same values, should they be drawn again
                    features = encoder(feed, scope)
                    out[size] = (features, tf.gradients(tf.reduce_sum(features**2), feed)[0])
            variable("decoder/conv2/weights", draws.normal(size=(1, 1, 8, 2)))
            variable("three_layer_fc_network/fc0/weights", draws.normal(size=(3, 2)))
            tf1.train.get_or_create_global_step()
            step = tf1.train.AdamOptimizer().minimize(tf.reduce_sum(out[64][0]))
            del step  # only for the variables that it makes
            session.run(tf1.global_variables_initializer())
            for size, feed in feeds.items():
                hundredths = draws.integers(-100, 101, feed.shape, dtype=np.int8)
                images = hundredths.astype(np.float32) / np.float32(100)
                features, gradient = session.run(out[size], {feed: images})
                key = f"{name}_{size}"
                arrays |= {f"{key}_hundredths": hundredths, f"{key}_features": features}
                arrays[f"{key}_gradient"] = gradient
            saver = tf1.train.Saver()
            saver.save(session, str(HERE / name), write_meta_graph=False, write_state=False)
    # What the reader must also understand, or refuse.
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("half", initializer=np.float16([1.5, -2]))
        tf1.get_variable("brain", initializer=tf.constant([1.5, -2], tf.bfloat16))
        tf1.get_variable("flags", initializer=np.array([True, False]))
        tf1.get_variable("step", initializer=np.int64(1 << 40))
        tf1.get_variable("double", initializer=np.arange(3.0))
        tf1.get_variable("empty", initializer=np.zeros((0, 3), np.float32))
        tf1.get_variable("text", initializer=np.array(["a", "bc"]))
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver()
        saver.save(session, str(HERE / "kinds"), write_meta_graph=False, write_state=False)
    with tf.Graph().as_default(), tf1.Session() as session:
        parts = tf1.fixed_size_partitioner(2)
        tf1.get_variable("split", shape=(4, 3), partitioner=parts)
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver()
        saver.save(session, str(HERE / "partitioned"), write_meta_graph=False, write_state=False)
    np.savez_compressed(HERE / "outputs.npz", **arrays)


if __name__ == "__main__":
    main()
