"""The official SDK, loaded with a home of its own: its import writes an application id there."""

import os
import tempfile
import warnings
from unittest import mock

with (
    tempfile.TemporaryDirectory(prefix="batcher-sdk-") as _home,
    mock.patch.dict(os.environ, {"HOME": _home}),
    warnings.catch_warnings(),
):
    warnings.simplefilter("ignore")  # the SDK's own, of no concern here
    import huaweicloudsdkcore.signer.signer  # noqa: F401
    import huaweicloudsdker.v3  # noqa: F401
